"""DoRA: m · (V + B A) / ‖V + B A‖, magnitude and direction apart (Liu et al. 2024, arXiv:2402.09353)."""

from typing import TYPE_CHECKING, Literal

from kt_resources.trainers.updates.lora import LoraBase

if TYPE_CHECKING:
    import peft


class Dora(LoraBase):
    """LoRA's options; slower than LoRA by the column norms, most useful at low ranks."""

    type: Literal["dora"] = "dora"

    def peft_config(self) -> "peft.PeftConfig":
        """The DoRA that PEFT puts on the model."""
        return self._lora_config(use_dora=True)
