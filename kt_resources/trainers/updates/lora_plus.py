"""LoRA+: B learns faster than A, η_B = λ · η_A (Hayou et al. 2024, arXiv:2402.12354)."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kt_resources.trainers.updates.base import OptimizerClass
from kt_resources.trainers.updates.lora import LoraBase

if TYPE_CHECKING:
    import torch
    from transformers import TrainingArguments


class LoraPlus(LoraBase):
    """LoRA's options; the step's learning rate is A's.

    Attributes:
        lr_ratio: λ, B's learning rate over A's; the paper advises 16.
    """

    type: Literal["lora_plus"] = "lora_plus"
    lr_ratio: float = Field(default=16.0, ge=1)

    def optimizer(
        self, model: "torch.nn.Module", arguments: "TrainingArguments", kind: OptimizerClass, options: dict[str, Any]
    ) -> "torch.optim.Optimizer":
        """PEFT's groups of parameters for LoRA+ under the factory's optimizer."""
        from peft.optimizers import create_loraplus_optimizer

        further = options | {"loraplus_weight_decay": arguments.weight_decay, "loraplus_lr_ratio": self.lr_ratio}
        return create_loraplus_optimizer(model, kind, **further)
