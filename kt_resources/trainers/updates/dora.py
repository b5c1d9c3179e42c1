"""DoRA: m · (V + B A) / ‖V + B A‖, magnitude and direction apart (Liu et al. 2024, arXiv:2402.09353)."""

from typing import TYPE_CHECKING, Literal

from kt_resources.trainers.updates.lora import LoraBase

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel


class Dora(LoraBase):
    """LoRA's options; slower than LoRA by the column norms, most useful at low ranks."""

    type: Literal["dora"] = "dora"

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The DoRA that PEFT puts on the model."""
        return self._lora_config(model, use_dora=True)
