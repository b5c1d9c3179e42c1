"""LoRA: W + (alpha / r) · B A with trained low-rank A and B (Hu et al. 2021, arXiv:2106.09685)."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kt_resources.compute.needs import Precision
from kt_resources.trainers.updates.targets import TargetedUpdate

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel


class LoraBase(TargetedUpdate):
    """Options that LoRA and its relatives share.

    Attributes:
        r: rank of B A; 4 classification, 8 extraction, 16 chat, 32 reasoning, 64 code.
        alpha: scale; None takes 2 · r.
        dropout: on the adapter's input.
    """

    r: int = Field(default=16, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The LoRA that PEFT puts on the model."""
        return self._lora_config(model)

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """DoRA's magnitudes stay in float32: their updates are smaller than bf16 can hold."""
        import torch

        return torch.float32 if "magnitude" in name else super().trainable_dtype(name, precision)

    def _lora_config(self, model: "PreTrainedModel", **further: object) -> "peft.LoraConfig":
        from peft import LoraConfig

        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.r,
            lora_alpha=2 * self.r if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets(model),
            **further,
        )


class Lora(LoraBase):
    """LoRA on all linear layers at rank 16 unless told otherwise."""

    type: Literal["lora"] = "lora"
