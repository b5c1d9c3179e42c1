"""In which types a training loads its weights and computes."""

import os
from typing import TYPE_CHECKING

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

    if spec.precision == "bf16" and not torch.cuda.is_available() and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return spec.model_copy(update={"precision": "fp32"})
    return spec


def load_dtype(spec: TrainSpec) -> "torch.dtype":
    """The type in which the start model's weights are loaded."""
    import torch

    if is_sharded():
        return torch.float32
    if spec.precision == "fp16":
        return torch.float16 if spec.update.has_adapter else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[spec.precision]
