"""QDoRA: DoRA on frozen weights in 4 bits (arXiv:2402.09353 on top of arXiv:2305.14314)."""

from typing import TYPE_CHECKING, Literal

from kt_resources.trainers.updates.qlora import QuantizedLora

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel


class Qdora(QuantizedLora):
    """QLoRA's options with magnitude and direction apart."""

    type: Literal["qdora"] = "qdora"

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The DoRA that PEFT puts on the 4-bit model."""
        return self._lora_config(model, use_dora=True)
