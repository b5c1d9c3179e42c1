"""rsLoRA: W + (alpha / √r) · B A, steady at high ranks (Kalajdzievski 2023, arXiv:2312.03732)."""

from typing import TYPE_CHECKING, Literal

from kt_resources.trainers.updates.lora import LoraBase

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel


class Rslora(LoraBase):
    """LoRA's options, its scale divided by the root of the rank."""

    type: Literal["rslora"] = "rslora"

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The LoRA that PEFT puts on the model."""
        return self._lora_config(model, use_rslora=True)
