"""Open a model with the engine that a recipe names, or with the one that fits it."""

import json
import tempfile
from pathlib import Path

from kt_resources.errors import GenerationError
from kt_resources.generators.config import Engine
from kt_resources.generators.engine import ScoringEngine


def open_engine(
    model: Path,
    engine: Engine = "auto",
    tokenizer_dir: Path | None = None,
    batch_size: int = 32,
    scratch_dir: Path | None = None,
) -> ScoringEngine:
    """The engine with ``model`` loaded; close it when done.

    A checkpoint folder becomes an F16 GGUF for llama.cpp, in ``scratch_dir`` where one is given (and found again).
    ``auto`` takes llama.cpp for a GGUF file and, on a CPU, for a checkpoint of a family that can be exported; else
    transformers.

    Raises:
        GenerationError: no such model, or an engine that cannot open it.
    """
    if not model.exists():
        raise GenerationError("there is no such model", where=str(model), mend="materialize the stage that makes it")
    chosen = choose_engine(model, engine)
    if chosen == "transformers":
        from kt_resources.generators.transformers import TransformersEngine

        return TransformersEngine(model, batch_size)
    from kt_resources.generators.llama_cpp import LlamaCppEngine

    if model.suffix == ".gguf":
        return LlamaCppEngine(model, tokenizer_dir, batch_size)
    return LlamaCppEngine(_exported(model, scratch_dir), tokenizer_dir or model, batch_size)


def choose_engine(model: Path, engine: Engine) -> str:
    """``llama_cpp`` or ``transformers`` for this model on this machine."""
    from kt_resources.compute.precision import program_device

    if model.suffix == ".gguf":
        if engine == "transformers":
            raise GenerationError("transformers does not run a GGUF file", where=str(model), mend="say engine: auto")
        return "llama_cpp"
    if engine != "auto":
        return engine
    return "llama_cpp" if program_device() == "cpu" and can_export(model) else "transformers"


def can_export(folder: Path) -> bool:
    """Whether the checkpoint's architecture is one that GGUF export knows."""
    from kt_resources.quantizers.families import ARCHITECTURES

    config = json.loads((folder / "config.json").read_text())
    return (config.get("architectures") or [""])[0] in ARCHITECTURES


def _exported(folder: Path, scratch_dir: Path | None) -> Path:
    from kt_resources.quantizers.export import export_gguf

    target = (scratch_dir or Path(tempfile.mkdtemp(prefix="kt-"))) / "f16.gguf"
    if not target.exists():
        export_gguf(folder, target)
    return target
