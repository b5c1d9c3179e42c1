"""Soft prompts: trained vectors before the tokens, which no weight of the model can take up."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kt_resources.compute.needs import Precision
from kt_resources.trainers.updates.base import UpdateStrategy

if TYPE_CHECKING:
    import torch


class SoftPrompt(UpdateStrategy):
    """Options that soft prompts share; a step with one leaves an adapter and no model.

    Attributes:
        num_virtual_tokens: how many vectors stand before the tokens.
    """

    mergeable: ClassVar[bool] = False
    num_virtual_tokens: int = Field(ge=1, le=1024)

    def attach(self, model: Any) -> None:
        """Let the model's outputs stand at the tokens alone."""
        from kt_resources.trainers.adapted import leave_out_virtual_tokens

        leave_out_virtual_tokens(model)

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """float32 for the few vectors; PEFT rounds them where they are used."""
        import torch

        return torch.float32
