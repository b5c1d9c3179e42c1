"""How fast this CPU reads prompts and writes answers: the engine that a line has there, with random models as wide.

One of a block and one of three: the difference is two blocks' own; what is left of the first is the loop, and the
choice of a token. Their vocabulary is small, so that the output head counts for nothing.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kt_resources.generators.engine import ScoringEngine

AT_ONCE = 32
"""Answers that are written at once."""

ASKED, ANSWERED = 48, 24
"""Tokens of a prompt and of an answer."""

REPEATS = 3
BLOCKS = (1, 3)


def measure_answering(shape: Mapping[str, Any], threads: int) -> dict[str, float]:
    """``read_layer_s``, ``answer_layer_s`` and ``answer_s`` of :class:`Speed`.

    Args:
        shape: of the line's model, a :class:`ModelShape` as JSON.
        threads: by which the processor's seconds are divided.
    """
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_seconds(_random_model(Path(folder), shape, blocks), threads) for blocks in BLOCKS)
    read_s, layer_s = ((b - a) / (BLOCKS[1] - BLOCKS[0]) for a, b in zip(few, many, strict=True))
    least = 0.01 * many[1] / BLOCKS[1]
    read_s, layer_s = max(read_s, least), max(layer_s, least)
    return {"read_layer_s": read_s, "answer_layer_s": layer_s, "answer_s": max(few[1] - BLOCKS[0] * layer_s, least)}


def _random_model(folder: Path, shape: Mapping[str, Any], blocks: int) -> "ScoringEngine":
    """As wide as ``shape``, in the engine and the precision that the whole would be asked in."""
    from kt_resources.compute.memory.shape import ModelShape
    from kt_resources.generators.checkpoint import CheckpointEngine
    from kt_resources.generators.llama_cpp import LlamaCppEngine
    from kt_resources.generators.open_engine import precision_of_size, slot_precision_of_size
    from kt_resources.quantizers.export import export_gguf
    from kt_resources.trainers.tiny import make_tiny_model

    whole = ModelShape.model_validate(shape)
    source, file = folder / f"{blocks}", folder / f"{blocks}.gguf"
    make_tiny_model(
        source,
        hidden_size=whole.hidden,
        intermediate_size=whole.intermediate,
        num_attention_heads=whole.heads,
        num_key_value_heads=whole.kv_heads,
        head_dim=whole.head_dim,
        num_hidden_layers=blocks,
    )
    num_bytes = int(whole.parameters * whole.stored_bytes)
    if precision := slot_precision_of_size(num_bytes):
        return CheckpointEngine(source, precision, AT_ONCE)
    export_gguf(source, file, precision_of_size(num_bytes))
    return LlamaCppEngine(file, batch_size=AT_ONCE)


def _seconds(engine: "ScoringEngine", threads: int) -> tuple[float, float]:
    """Seconds of a token read, and of one written."""
    read = _fastest(engine, 1, threads)
    written = _fastest(engine, 1 + ANSWERED, threads)
    engine.close()
    return read / (AT_ONCE * ASKED), max(written - read, 1e-9) / (AT_ONCE * ANSWERED)


def _fastest(engine: "ScoringEngine", num_tokens: int, threads: int) -> float:
    """Seconds of the fastest of a few runs, after one that is not counted."""
    from kt_resources.generators.config import Sampling

    prompts = [[100 + (number * 7 + place * (number + 3)) % 800 for place in range(ASKED)] for number in range(AT_ONCE)]
    times = []
    for _ in range(1 + REPEATS):
        start = time.process_time()
        engine.generate(prompts, 1, Sampling(temperature=0, max_new_tokens=num_tokens))
        times.append((time.process_time() - start) / threads)
    return min(times[1:])
