"""The quantize program's spec."""

from pathlib import Path
from typing import Any

from pydantic import Field

from kt_resources.compute.program import ProgramSpec
from kt_resources.quantizers.config import GgufTarget
from kt_resources.trainers.spec import Message


class QuantizeSpec(ProgramSpec):
    """Export ``model_dir`` to GGUF, quantize it to ``target``, compare it with the checkpoint, pack it.

    Attributes:
        calibration_files: Parquet rows with ``input_ids``, for the importance matrix; each gives an equal share.
        held_out_text: a text file; checkpoint and GGUF are compared on it (KL, tokenization).
        probe_prompts: conversations that both answer.
        max_new_tokens: how long a greedy answer may be before it counts as endless.
        name: of the model, for Modelfile and card.
        card: what the model card says beside the measured facts: ``base``, ``data``, ``licenses``, ``lineage`` ...
    """

    model_dir: Path
    target: GgufTarget
    calibration_files: tuple[Path, ...] = ()
    held_out_text: Path | None = None
    held_out_tokens: int = Field(default=512, ge=16)
    probe_prompts: tuple[tuple[Message, ...], ...] = ()
    max_new_tokens: int = Field(default=64, ge=1)
    name: str = "model"
    card: dict[str, Any] = {}
