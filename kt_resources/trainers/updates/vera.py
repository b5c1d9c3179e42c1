"""VeRA: W + diag(b) B diag(d) A with A and B random, frozen and shared, and only b and d trained.

Kopiczko et al. 2023 (arXiv:2310.11454, eq. 2). All layers take slices of one A (r × widest input) and one B (widest
output × r), so layers of different shapes go together; b has as many entries as a layer has outputs, d has r.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.compute.needs import Precision
from kt_resources.trainers.updates.targets import TargetedUpdate

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel


class Vera(TargetedUpdate):
    """A few vectors a layer: about a hundredth of LoRA's trained numbers, at ten times its learning rate.

    Attributes:
        r: rows of A; costs no trained matrix, hence 256.
        d_initial: what d begins with; b begins with 0.
        dropout: on the adapter's input.
        seed: of A and B, which are saved with the adapter all the same.
    """

    type: Literal["vera"] = "vera"
    learning_rate_scale: ClassVar[float] = 10.0

    r: int = Field(default=256, ge=1, le=8192)
    d_initial: float = Field(default=0.1, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The VeRA that PEFT puts on the model."""
        from peft import VeraConfig

        return VeraConfig(
            task_type="CAUSAL_LM",
            r=self.r,
            d_initial=self.d_initial,
            vera_dropout=self.dropout,
            projection_prng_key=self.seed,
            save_projection=True,
            target_modules=self.targets(model),
        )

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """float32 for the few vectors, as A and B are."""
        import torch

        return torch.float32
