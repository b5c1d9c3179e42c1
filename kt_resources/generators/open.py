"""Open a model for generation, whatever form it has."""

from pathlib import Path

from kt_resources.errors import GenerationError, QuantizeError
from kt_resources.generators.config import Engine
from kt_resources.generators.engine import ScoringEngine
from kt_resources.quantizers.export import Precision

SMALL = 1_000_000_000
"""Bytes of safetensors up to which a float32 export is affordable."""


def open_engine(
    model: Path,
    engine: Engine = "auto",
    scratch_dir: Path | None = None,
    tokenizer_dir: Path | None = None,
    batch_size: int = 32,
) -> ScoringEngine:
    """An engine over a checkpoint folder or a ``.gguf`` file.

    Args:
        engine: ``auto`` takes llama.cpp for a GGUF, and for a folder of a supported architecture on a machine
            without a GPU; else transformers.
        scratch_dir: where the GGUF export of a folder is kept and found again; None: beside the folder.
        tokenizer_dir: Hugging Face tokenizer of a GGUF; None: llama.cpp's own, with the template in the file.

    Raises:
        GenerationError: no such model, or this engine cannot open it.
    """
    is_file = model.suffix == ".gguf"
    if not (model.is_file() if is_file else (model / "config.json").is_file()):
        raise GenerationError("no such model", where=str(model), mend="give a checkpoint folder or a .gguf file")
    if engine == "openai":
        raise GenerationError("a server's model has no file", where="engine", mend="use OpenAiEngine(url, model)")
    if _uses_llama_cpp(model, engine, is_file):
        from kt_resources.generators.llama_cpp import LlamaCppEngine

        if is_file:
            return LlamaCppEngine(model, tokenizer_dir, batch_size)
        return LlamaCppEngine(exported(model, scratch_dir or model.parent), tokenizer_dir or model, batch_size)
    if is_file:
        raise GenerationError("transformers does not open a GGUF here", where=str(model), mend="use engine: llama_cpp")
    from kt_resources.generators.transformers import TransformersEngine

    return TransformersEngine(model, batch_size)


def exported(folder: Path, scratch_dir: Path) -> Path:
    """The full-precision GGUF of a checkpoint folder in ``scratch_dir``, made where it is not there.

    Its name holds a digest of the weights' and tokenizer's names, sizes and change times.
    """
    import hashlib

    from kt_resources.quantizers.export import export_gguf

    precision = export_precision(folder)
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    digest = hashlib.sha256(repr((str(folder.resolve()), states)).encode()).hexdigest()[:16]
    file = scratch_dir / f"{digest}.{precision.lower()}.gguf"
    if not file.exists():
        export_gguf(folder, file, precision)
    return file


def export_precision(folder: Path) -> Precision:
    """float16 where the processor computes in it fast (AVX-512) or the model is large, else float32.

    On AVX2 alone float16 matrices are widened before every product: 108 tokens/s against 177 at 32 sequences of a
    135M model on two cores.
    """
    from kt_resources.generators.gguf_model import library

    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    fast_half = b"AVX512 = 1" in library().llama_print_system_info()
    return "F16" if fast_half or size > SMALL else "F32"


def _uses_llama_cpp(model: Path, engine: Engine, is_file: bool) -> bool:
    if engine != "auto":
        return engine == "llama_cpp"
    return is_file or (_supported(model) and not _has_gpu())


def _supported(folder: Path) -> bool:
    import json

    from kt_resources.quantizers.families import family_of

    try:
        family_of(json.loads((folder / "config.json").read_text()))
    except QuantizeError:
        return False
    return True


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
