"""Where the bytes of a base model lie: each kind of source becomes a folder and, for GGUF, a file in it."""

import json
from importlib.util import find_spec
from pathlib import Path

from kt_resources.errors import RecipeError
from kt_resources.recipes.base_model import FolderModel, GgufModel, HubModel, PackageModel

NO_TEMPLATE = "the base model has no chat template"
TEMPLATE_MEND = "choose an instruction-tuned model, or add chat_template.jinja to its folder"


def locate(source: FolderModel | GgufModel | HubModel | PackageModel) -> tuple[Path, str | None]:
    """The folder that holds the model and, where it is a GGUF, the file's name.

    Raises:
        RecipeError: there is no such package, file, folder or reachable hub model.
    """
    if isinstance(source, PackageModel):
        return _in_package(source)
    if isinstance(source, GgufModel):
        if not source.gguf.is_file():
            raise RecipeError(f"no file {source.gguf}", where="base_model.gguf", mend="correct the path")
        return source.gguf.parent, source.gguf.name
    if isinstance(source, FolderModel):
        if not (source.folder / "config.json").is_file():
            mend = "name a folder that `save_pretrained` or a hub download made"
            raise RecipeError(f"no config.json in {source.folder}", where="base_model.folder", mend=mend)
        return source.folder, None
    return _from_hub(source), None


def check_template(folder: Path, gguf_file: str | None) -> None:
    """RecipeError where a model has no chat template; read from its files, without loading it."""
    if not (_gguf_template(folder / gguf_file) if gguf_file else _folder_template(folder)):
        raise RecipeError(NO_TEMPLATE, where=f"base_model: {folder / (gguf_file or '')}", mend=TEMPLATE_MEND)


def _folder_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    config = folder / "tokenizer_config.json"
    try:
        return config.is_file() and bool(json.loads(config.read_text(encoding="utf-8")).get("chat_template"))
    except ValueError as error:
        raise RecipeError("is no JSON", where=str(config), mend="get the file again") from error


def _gguf_template(file: Path) -> bool:
    from kt_resources.bases.gguf_file import GgufFile

    try:
        return GgufFile(file).get_field("tokenizer.chat_template") is not None
    except (ValueError, IndexError) as error:
        raise RecipeError(f"is no whole GGUF file: {error}", where=str(file), mend="get the file again") from error


def _in_package(source: PackageModel) -> tuple[Path, str]:
    spec = find_spec(source.package)  # imports nothing: such packages import a whole application
    if spec is None or not spec.submodule_search_locations:
        mend = f"pip install {source.package.replace('_', '-')}"
        raise RecipeError(f"no package {source.package}", where="base_model.package", mend=mend)
    root = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(root.rglob(source.file))
    if not found:
        there = ", ".join(sorted(path.name for path in root.rglob("*.gguf"))) or "no GGUF file"
        mend = f"the package has: {there}"
        raise RecipeError(f"package {source.package} has no {source.file}", where="base_model.file", mend=mend)
    return found[0].parent, found[0].name


def _from_hub(source: HubModel) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(source.hub, revision=source.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        mend = "unset HF_HUB_OFFLINE to download it once, or name a local folder"
        raise RecipeError(f"cannot get {source.hub}: {error}", where="base_model.hub", mend=mend) from error
