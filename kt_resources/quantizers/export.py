"""A Hugging Face checkpoint folder becomes one GGUF file in full precision."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.families import Family, family_of
from kt_resources.quantizers.vocabulary import write_vocabulary

if TYPE_CHECKING:
    import numpy as np
    import torch

Precision = Literal["F32", "F16", "BF16"]


def export_gguf(folder: Path, file: Path, precision: Precision = "F16") -> None:
    """Write the checkpoint in ``folder`` to ``file``; atomically, one tensor in memory at a time.

    Matrices are stored in ``precision``, vectors (norms, biases) in float32.

    Raises:
        QuantizeError: architecture, tokenizer or rope scaling cannot be exported; a weight is not finite.
    """
    import gguf
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    family = family_of(config)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    writer = gguf.GGUFWriter(temporary, family.gguf_arch)
    try:
        writer.add_type("model")
        writer.add_name(folder.name)
        writer.add_file_type(gguf.LlamaFileType[{"F32": "ALL_F32"}.get(precision, f"MOSTLY_{precision}")])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        family.write_hparams(writer, config)
        write_vocabulary(writer, folder, config.vocab_size)
        _write_tensors(writer, family, config, folder, precision)
    finally:
        writer.close()
    os.replace(temporary, file)


def _write_tensors(writer: Any, family: Family, config: Any, folder: Path, precision: Precision) -> None:
    """Announce every tensor, then write them one by one."""
    extra = list(family.extra_tensors(config))
    stored = list(_tensor_names(family, config, folder))
    for name, load in stored:
        shape = load(shape_only=True)
        kind = tensor_precision(shape, precision)
        width = 4 if kind == "F32" else 2
        nbytes = width * _size(shape)
        writer.add_tensor_info(name, _raw_shape(shape, kind), _numpy_type(kind), nbytes, raw_dtype=_ggml_type(kind))
    for name, array in extra:
        writer.add_tensor_info(name, array.shape, array.dtype, array.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, load in stored:
        tensor = load()
        writer.write_tensor_data(_encode(name, tensor, tensor_precision(tuple(tensor.shape), precision)))
    for _, array in extra:
        writer.write_tensor_data(array)


def _tensor_names(family: Family, config: Any, folder: Path) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each tensor's GGUF name and its loader, in the order of the Hugging Face names."""
    import gguf

    arch = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}[family.gguf_arch]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, file in sorted(tensor_files(folder).items()):
        if family.skips(name, config):
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            mend = "the checkpoint holds more than a text model of its architecture; save the language model alone"
            raise QuantizeError(
                f"tensor {name} has no place in a {family.gguf_arch} GGUF", where=str(folder), mend=mend
            )
        yield target, _loader(family, config, file, name)


def _loader(family: Family, config: Any, file: Path, name: str) -> Callable[..., Any]:
    from safetensors import safe_open

    def load(shape_only: bool = False) -> Any:
        with safe_open(file, framework="pt") as tensors:
            if shape_only:
                return tuple(tensors.get_slice(name).get_shape())
            return family.transform(name, tensors.get_tensor(name), config)

    return load


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor name → the safetensors file of ``folder`` that holds it.

    Raises:
        QuantizeError: there is no safetensors file.
    """
    from safetensors import safe_open

    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            found |= dict.fromkeys(tensors.keys(), file)
    if not found:
        raise QuantizeError("has no .safetensors weights", where=str(folder), mend="save the model with safetensors")
    return found


def tensor_precision(shape: tuple[int, ...], precision: Precision) -> Precision:
    """Matrices take ``precision``; vectors stay in float32."""
    return precision if len(shape) > 1 else "F32"


def _encode(name: str, tensor: "torch.Tensor", precision: Precision) -> "np.ndarray":
    import torch

    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[precision]
    encoded = tensor.to(dtype).contiguous()
    if not torch.isfinite(encoded).all():
        mend = "the training diverged, or weights exceed float16's range (65,504): export as F32 or BF16"
        raise QuantizeError(f"{name} holds values that are not finite in {precision}", where="model weights", mend=mend)
    return encoded.view(torch.uint8).numpy() if precision == "BF16" else encoded.numpy()


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _raw_shape(shape: tuple[int, ...], precision: Precision) -> tuple[int, ...]:
    """The shape that gguf expects: in bytes for bfloat16, which numpy does not have."""
    return (*shape[:-1], 2 * shape[-1]) if precision == "BF16" else shape


def _numpy_type(precision: Precision) -> Any:
    import numpy as np

    return np.dtype({"F32": np.float32, "F16": np.float16, "BF16": np.uint8}[precision])


def _ggml_type(precision: Precision) -> Any:
    import gguf

    return gguf.GGMLQuantizationType[precision]
