"""In which types a training loads its weights and computes."""

import os
from typing import TYPE_CHECKING

from kt_resources.compute.program import is_rank_zero
from kt_resources.trainers.checkpoints import forget
from kt_resources.trainers.spec import TrainSpec

if TYPE_CHECKING:
    import torch


def is_sharded() -> bool:
    """Whether ``accelerate launch`` shards the model (FSDP), which casts float32 weights by itself."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"


def usable(spec: TrainSpec) -> TrainSpec:
    """``spec``, in float32 where it asks for bf16 of a CPU that has no such arithmetic.

    torch emulates the missing instructions: a matrix product takes five to eighty times as long as in float32.
    """
    import torch

    if spec.precision == "bf16" and not torch.cuda.is_available() and not _computes_in("bf16"):
        return spec.model_copy(update={"precision": "fp32"})
    return spec


NOTE = "precision"
"""A file of the scratch folder: in which precision the training there began."""


def settled(spec: TrainSpec) -> TrainSpec:
    """``spec``, usable, and in the precision in which a run that was cut short began, where this machine has it.

    Another machine, or another version of the factory, may hold another precision for the best; the optimizer's state
    of one is none of the other's. What cannot be gone on with is forgotten, and the training starts over.
    """
    spec = usable(spec)
    note = spec.scratch_dir / NOTE
    begun = note.read_text() if note.is_file() else spec.precision
    if begun != spec.precision and _computes_in(begun):
        print(f"going on in {begun}, in which this training began", flush=True)
        return spec.model_copy(update={"precision": begun})
    if is_rank_zero():
        if begun != spec.precision:
            print(f"starting over in {spec.precision}: this machine does not train in {begun}", flush=True)
            forget(spec.scratch_dir)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(spec.precision)
    return spec


def _computes_in(precision: str) -> bool:
    import torch

    if torch.cuda.is_available():
        return precision != "bf16" or torch.cuda.is_bf16_supported()
    return precision == "fp32" or (precision == "bf16" and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def load_dtype(spec: TrainSpec) -> "torch.dtype":
    """The type in which the start model's weights are loaded."""
    import torch

    if is_sharded():
        return torch.float32
    if spec.precision == "fp16":
        return torch.float16 if spec.update.has_adapter else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[spec.precision]
