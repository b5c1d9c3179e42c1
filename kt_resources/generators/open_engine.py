"""Open a model with the engine that a recipe names, or with the one that fits it."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kt_resources.decoding.plain import SlotPrecision, attends_plainly
from kt_resources.errors import GenerationError
from kt_resources.generators.config import Engine
from kt_resources.generators.engine import ScoringEngine

if TYPE_CHECKING:
    from kt_resources.quantizers.export import Precision

TINY, SMALL = 50_000_000, 1_000_000_000
"""Bytes of weights up to which a float32 export costs nothing, and up to which it is affordable."""


def open_engine(
    model: Path,
    engine: Engine = "auto",
    tokenizer_dir: Path | None = None,
    batch_size: int = 32,
    scratch_dir: Path | None = None,
) -> ScoringEngine:
    """The engine with ``model`` loaded; close it when done.

    ``auto`` takes llama.cpp for a GGUF file and transformers for a checkpoint folder; on a CPU, llama.cpp for one that
    :func:`slot_precision` has none for (Gemma, or more than 1 GB in float32). Such a folder becomes a full-precision
    GGUF, in ``scratch_dir`` where one is given (and found again).

    Raises:
        GenerationError: no such model, or an engine that cannot open it.
    """
    if not model.exists():
        raise GenerationError("there is no such model", where=str(model), mend="materialize the stage that makes it")
    chosen = choose_engine(model, engine)
    if chosen == "transformers" and (precision := slot_precision(model)):
        from kt_resources.generators.checkpoint import CheckpointEngine

        return CheckpointEngine(model, precision, batch_size)
    if chosen == "transformers":
        from kt_resources.generators.transformers import TransformersEngine

        return TransformersEngine(model, batch_size)
    from kt_resources.generators.llama_cpp import LlamaCppEngine

    if model.suffix == ".gguf":
        return LlamaCppEngine(model, tokenizer_dir, batch_size)
    folder = scratch_dir or Path(tempfile.mkdtemp(prefix="kt-"))
    return LlamaCppEngine(exported(model, folder), tokenizer_dir or model, batch_size)


def open_adapted(model: Path, adapter_dir: Path, batch_size: int) -> ScoringEngine:
    """``model`` with an adapter on it that cannot be merged, which transformers alone runs; close it when done."""
    from kt_resources.generators.transformers import TransformersEngine

    return TransformersEngine(model, batch_size, adapter_dir=adapter_dir)


def choose_engine(model: Path, engine: Engine) -> str:
    """``llama_cpp`` or ``transformers`` for this model on this machine."""
    if engine == "openai":
        mend = "name a server instead of a model"
        raise GenerationError("engine openai asks a server, it opens no model", where=str(model), mend=mend)
    if model.suffix == ".gguf":
        if engine == "transformers":
            raise GenerationError("transformers does not run a GGUF file", where=str(model), mend="say engine: auto")
        return "llama_cpp"
    if engine != "auto":
        return engine
    return "llama_cpp" if on_cpu() and can_export(model) and not slot_precision(model) else "transformers"


def answered_in(model: Path, engine: Engine) -> tuple[str, str | None]:
    """The engine of this model on this machine, and the precision that it is loaded in; None: that of its files."""
    chosen = choose_engine(model, engine)
    if not model.is_dir():
        return chosen, None
    return chosen, slot_precision(model) if chosen == "transformers" else export_precision(model)


def on_cpu() -> bool:
    """Whether programs compute on the CPU here."""
    from kt_resources.compute.precision import program_device

    return program_device() == "cpu"


def can_export(folder: Path) -> bool:
    """Whether the checkpoint's architecture is one that GGUF export knows."""
    from kt_resources.quantizers.families import ARCHITECTURES

    return architecture(folder) in ARCHITECTURES


def slot_precision(folder: Path) -> SlotPrecision | None:
    """In which transformers runs this checkpoint in continuous batches; None where it does not.

    It does on a CPU, where attention is plain, and the weights fit in a precision that this CPU computes in.
    """
    if not on_cpu() or not attends_plainly(folder):
        return None
    return slot_precision_of_size(weights_size(folder))


def slot_precision_of_size(num_bytes: int) -> SlotPrecision | None:
    """bfloat16 where the processor gains from it, else float32 as far as it is affordable.

    Args:
        num_bytes: of the checkpoint's weights.
    """
    from kt_resources.compute.precision import cpu_gains_from_bf16

    if num_bytes >= TINY and cpu_gains_from_bf16():
        return "BF16"
    return None if num_bytes > SMALL else "F32"


def architecture(folder: Path) -> str:
    """What the checkpoint's model is called by transformers; empty where it does not say."""
    return str((json.loads((folder / "config.json").read_text()).get("architectures") or [""])[0])


def exported(folder: Path, scratch_dir: Path) -> Path:
    """The full-precision GGUF of a checkpoint folder, in ``scratch_dir``; made where it is not there.

    Its name holds a digest of the folder's place and its files' names, sizes and change times, so that one
    ``scratch_dir`` serves several models.
    """
    from kt_resources.quantizers.export import export_gguf

    precision = export_precision(folder)
    files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir())]
    digest = hashlib.sha256(repr((str(folder.resolve()), files)).encode()).hexdigest()[:16]
    target = scratch_dir / f"{digest}.{precision.lower()}.gguf"
    if not target.exists():
        export_gguf(folder, target, precision)
    return target


def export_precision(folder: Path) -> "Precision":
    """The one in which a checkpoint folder's weights are fastest on this CPU."""
    return precision_of_size(weights_size(folder))


def weights_size(folder: Path) -> int:
    """Bytes of a checkpoint folder's weights."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def precision_of_size(num_bytes: int) -> "Precision":
    """bfloat16 where the processor gains from it, else float32 as far as it is affordable, then float16.

    float32 too where the model is so tiny that its speed does not matter.

    A 135M model, 32 sequences, two cores, in tokens/s. Zen 4: 480 in bfloat16, 370 in float16. A Xeon of the fifth
    generation, whose tiles llama.cpp leaves alone here: 225 in bfloat16, 208 in float16, 250 in float32. With AVX2,
    which widens half matrices before every product: 108 in float16, 177 in float32.

    Args:
        num_bytes: of the checkpoint's weights.
    """
    from kt_resources.compute.precision import cpu_gains_from_bf16
    from kt_resources.generators.gguf_model import computes_in

    if num_bytes < TINY:
        return "F32"
    if cpu_gains_from_bf16(tiles=False) and computes_in("AVX512_BF16"):
        return "BF16"
    return "F16" if num_bytes > SMALL else "F32"
