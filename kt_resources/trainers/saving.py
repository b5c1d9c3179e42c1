"""From kept weights to the artifact: the adapter, and the start model with what was learned, in its own type.

Everything but the weights is copied from the start folder byte for byte, so that no tokenizer, template or stop
token drifts.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.trainers.stored import as_stored, tied_names

if TYPE_CHECKING:
    import torch

TEXT_SUFFIXES = (".json", ".jinja", ".txt", ".model")
WEIGHT_INDEX = "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in the order of their names."""
    return sorted(folder.glob("*.safetensors"))


def tensors(folder: Path) -> dict[str, Path]:
    """Name of each stored tensor → the file that holds it."""
    from safetensors import safe_open

    names: dict[str, Path] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as stored:
            names |= dict.fromkeys(stored.keys(), file)
    return names


def read_tensor(file: Path, name: str) -> "torch.Tensor":
    """One tensor of a safetensors file."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        return stored.get_tensor(name)


def save_adapter(weights: Mapping[str, "torch.Tensor"], config: Mapping[str, Any], adapter_dir: Path) -> None:
    """Write an adapter, its config without paths and in a fixed order."""
    from safetensors.torch import save_file

    adapter_dir.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    save_file(contiguous, adapter_dir / "adapter_model.safetensors", metadata={"format": "pt"})
    pathless = {**config, "base_model_name_or_path": None}
    fixed = {key: sorted(value) if _is_names(value) else value for key, value in pathless.items()}
    (adapter_dir / "adapter_config.json").write_text(json.dumps(fixed, indent=2, sort_keys=True) + "\n")


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def merged_weights(start_dir: Path, adapter_dir: Path) -> dict[str, "torch.Tensor"]:
    """The start model with the adapter folded in, computed in float32, by the names that its checkpoint has.

    The start is loaded anew in full precision, whatever it was trained on: a quantized base takes no part. What the
    model does not read, as buffers of older versions, is the start's.
    """
    import torch
    from peft import PeftModel

    from kt_resources.trainers.kinds import load_model

    start = load_model(start_dir, dtype=torch.float32)
    merged = PeftModel.from_pretrained(start, str(adapter_dir)).merge_and_unload(safe_merge=True)
    weights = as_stored(merged, merged.state_dict())
    unread = {name: file for name, file in tensors(start_dir).items() if name not in weights}
    return weights | {name: read_tensor(file, name) for name, file in unread.items()}


def moved_weights(start_dir: Path, kept: Path, trained_dtype: "torch.dtype") -> dict[str, "torch.Tensor"]:
    """The start's own weights plus what training added: ``W₀ + (W − round(W₀))`` in float32.

    Training began from ``W₀`` rounded to ``trained_dtype``; the rounding itself is no learning and is taken out. Of
    tied weights ``kept`` holds one, and a start that stores them all gets it in each place.
    """
    trained, stored = tensors(kept), tensors(start_dir)
    twins = _twins(start_dir) if stored.keys() - trained.keys() else {}
    moved = {}
    for name, file in stored.items():
        before, source = read_tensor(file, name), name if name in trained else twins.get(name, name)
        if source in trained and before.is_floating_point():
            after = read_tensor(trained[source], source)
            moved[name] = before.float() + (after.float() - before.to(trained_dtype).float())
        else:
            moved[name] = before
    return moved


def _twins(folder: Path) -> dict[str, str]:
    """The checkpoint's names of tied weights, each with the other."""
    from kt_resources.trainers.kinds import load_model

    return tied_names(load_model(folder, device_map="meta"))


def save_model(weights: Mapping[str, "torch.Tensor"], start_dir: Path, model_dir: Path) -> None:
    """Write ``weights`` as the start stores them: same files, names, types; all else copied.

    Raises:
        KeyError: the start stores a tensor that is not among ``weights``.
    """
    from safetensors.torch import save_file

    model_dir.mkdir(parents=True, exist_ok=True)
    copy_all_but_weights(start_dir, model_dir)
    stored = tensors(start_dir)
    for file in weight_files(start_dir):
        names = sorted(name for name, place in stored.items() if place == file)
        cast = {name: weights[name].to(read_tensor(file, name).dtype).contiguous() for name in names}
        save_file(_apart(cast), model_dir / file.name, metadata={"format": "pt"})


def _apart(weights: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Tensors that share memory, as tied ones do, each with its own: safetensors writes no others."""
    own: dict[int, str] = {}
    return {
        name: tensor if own.setdefault(tensor.data_ptr(), name) == name else tensor.clone()
        for name, tensor in weights.items()
    }


def copy_all_but_weights(start_dir: Path, model_dir: Path) -> None:
    """Copy tokenizer, template, configs byte for byte; weights of any form stay behind."""
    for file in sorted(start_dir.iterdir()):
        if file.is_dir() and file.name == "additional_chat_templates":
            shutil.copytree(file, model_dir / file.name, dirs_exist_ok=True)
        elif file.is_file() and (file.suffix in TEXT_SUFFIXES):
            shutil.copyfile(file, model_dir / file.name)


def save_trained_rows(ids: Iterable[str], file: Path) -> None:
    """Write the ids of the rows that the kept weights learned from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": pa.array(list(ids), pa.string())}), file)
