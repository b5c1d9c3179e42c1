"""llama.cpp's quantization of a GGUF file in full precision."""

import contextlib
import ctypes
import functools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import QuantizeError
from kt_resources.generators.gguf_model import library, thread_count
from kt_resources.quantizers.config import GgufTarget

if TYPE_CHECKING:
    import numpy as np

ImportanceMatrix = Mapping[str, "np.ndarray"]
"""GGUF tensor name → mean square of each of its input columns; float32 (columns,)."""

FULL_PRECISION = ("F32", "F16", "BF16")

TENSOR_LINE = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
"""How llama.cpp's log counts tensors: ``[  12/ 272] blk.0.attn_k.weight``."""


def quantize_gguf(
    source: Path,
    file: Path,
    target: GgufTarget,
    log_file: Path,
    imatrix: ImportanceMatrix | None = None,
    on_tensor: Callable[[int, int], None] | None = None,
) -> None:
    """Quantize ``source`` to ``file`` as ``target`` says; atomically.

    Tensors whose rows do not fit the blocks of a quant type (256 columns for "K" types, else 32) take llama.cpp's
    fallback type. A target in full precision without types of its own is a copy of ``source``.

    Args:
        source: a GGUF file in full precision; of the target's own where the target keeps it.
        log_file: where llama.cpp's log goes.
        on_tensor: called with (tensors done, tensors).

    Raises:
        QuantizeError: a type that the target names for one tensor does not fit it; llama.cpp
            refuses, and its last message is told.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    refuse_types_that_do_not_fit(source, target)
    if keeps_export(target):
        shutil.copyfile(source, temporary)
    else:
        params, held = _params(target, imatrix)
        with _llama_log(log_file, on_tensor) as lines:
            status = library().llama_model_quantize(str(source).encode(), str(temporary).encode(), ctypes.byref(params))
        del held
        if status != 0:
            temporary.unlink(missing_ok=True)
            raise _refusal(target, lines, log_file)
    os.replace(temporary, file)


def keeps_export(target: GgufTarget) -> bool:
    """Whether the exported file is the target itself."""
    own_types = target.token_embedding_type or target.output_tensor_type or target.tensor_types
    return target.quant in FULL_PRECISION and not own_types


def refuse_types_that_do_not_fit(source: Path, target: GgufTarget) -> None:
    """Raise where a type named for some tensors has blocks that their rows do not fill, or names none.

    llama.cpp falls back, or aborts the process.
    """
    import gguf

    from kt_resources.bases.gguf_file import GgufFile

    asked = _types_asked(target)
    columns = {tensor.name: int(tensor.shape[0]) for tensor in GgufFile(source).tensors} if asked else {}
    for option, pattern, kind in asked:
        names = [name for name in columns if re.search(pattern, name) and name.endswith(".weight")]
        if option == "output_tensor_type" and not names:
            names = ["token_embd.weight"]  # tied embeddings are the output head too and take its type
        if not names:
            layers = sorted({re.sub(r"^blk\.\d+\.|\.weight$", "", name) for name in columns})
            what, mend = f"no tensor's name has {pattern!r}", f"there are {', '.join(layers)}"
            raise QuantizeError(what, where=f"quantize.targets: {option}", mend=mend)
        block = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][0]
        for name in names:
            if columns[name] % block:
                raise QuantizeError(
                    f"{kind} needs rows of a multiple of {block} weights; those of {name} have {columns[name]}",
                    where=f"quantize.targets: {option}",
                    mend="Q8_0 and F16 fit",
                )


def _types_asked(target: GgufTarget) -> list[tuple[str, str, str]]:
    """(option, pattern of tensor names, type) of what the target names a type for."""
    named = {"token_embedding_type": r"^token_embd\.", "output_tensor_type": r"^output\."}
    found = [(option, pattern, getattr(target, option)) for option, pattern in named.items()]
    found += [("tensor_types", pattern, kind) for pattern, kind in target.tensor_types.items()]
    return [(option, pattern, kind) for option, pattern, kind in found if kind]


def _params(target: GgufTarget, imatrix: ImportanceMatrix | None) -> tuple[Any, Any]:
    """llama.cpp's parameters, and what must stay in memory while they are used."""
    import gguf

    lib = library()
    params = lib.llama_model_quantize_default_params()
    params.nthread = thread_count()
    share = "ALL" if target.quant == "F32" else "MOSTLY"
    params.ftype = getattr(lib, f"LLAMA_FTYPE_{share}_{target.quant}")
    if target.token_embedding_type:
        params.token_embedding_type = gguf.GGMLQuantizationType[target.token_embedding_type]
    if target.output_tensor_type:
        params.output_tensor_type = gguf.GGMLQuantizationType[target.output_tensor_type]
    held = _imatrix_array(imatrix) if imatrix else None
    if held is not None:
        params.imatrix = held[0]
    overrides = _overrides_array(target.tensor_types) if target.tensor_types else None
    if overrides is not None:
        params.tt_overrides = overrides
    return params, (held, overrides)


def _overrides_array(types: Mapping[str, str]) -> Any:
    """A C array of (pattern, type) that ends with an entry without a pattern."""
    import gguf

    array = (library().llama_model_tensor_override * (len(types) + 1))()
    for entry, (pattern, kind) in zip(array, types.items(), strict=False):
        entry.pattern, entry.type = pattern.encode(), gguf.GGMLQuantizationType[kind]
    return array


def _imatrix_array(imatrix: ImportanceMatrix) -> tuple[Any, list[Any]]:
    """A C array that ends with an entry without a name, and the buffers that it points into."""
    import numpy as np

    lib = library()
    columns = {name: np.ascontiguousarray(values, np.float32) for name, values in sorted(imatrix.items())}
    array = (lib.llama_model_imatrix_data * (len(columns) + 1))()
    for entry, (name, values) in zip(array, columns.items(), strict=False):
        entry.name = name.encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = values.size
    return array, list(columns.values())


@contextlib.contextmanager
def _llama_log(log_file: Path, on_tensor: Callable[[int, int], None] | None) -> Iterator[list[str]]:
    """Send llama.cpp's log to ``log_file`` and to the list that is given; silence it again afterwards."""
    lib, lines = library(), [""]
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as log:

        def write(_level: int, text: bytes, _data: Any) -> None:
            told = text.decode("utf-8", errors="replace")
            log.write(told)
            counted = TENSOR_LINE.search(told)
            if counted and on_tensor:
                on_tensor(int(counted[1]), int(counted[2]))
            lines[-1] += told
            if told.endswith("\n"):
                lines.append("")

        callback = lib.llama_log_callback(write)
        lib.llama_log_set(callback, ctypes.c_void_p(0))
        try:
            yield lines
        finally:
            lib.llama_log_set(_silence(), ctypes.c_void_p(0))


@functools.cache
def _silence() -> Any:
    """A log callback that drops what it is told; kept alive as long as the process."""
    return library().llama_log_callback(lambda *_: None)


def _refusal(target: GgufTarget, lines: list[str], log_file: Path) -> QuantizeError:
    told = [line.strip() for line in reversed(lines) if "fail" in line.lower() or "error" in line.lower()]
    reason = told[0] if told else "no reason told"
    where = f"quantize.targets: {target.quant}"
    return QuantizeError(f"llama.cpp: {reason}", where=where, mend=f"see run/{log_file.name}; Q8_0 fits every model")
