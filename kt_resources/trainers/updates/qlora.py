"""QLoRA: LoRA on frozen weights in 4 bits (Dettmers et al. 2023, arXiv:2305.14314).

The saved model is merged into the start model's own full-precision weights, never into the 4-bit ones.
"""

from typing import TYPE_CHECKING, Any, Literal

from kt_resources.compute.needs import Precision
from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.lora import LoraBase

if TYPE_CHECKING:
    import peft


class Qlora(LoraBase):
    """NF4 with double quantization; ``use_dora`` makes it QDoRA.

    Attributes:
        quant_type: ``nf4`` (normal float) or ``fp4``.
        double_quant: quantize the scales too, which saves about 0.4 bits a weight.
    """

    type: Literal["qlora"] = "qlora"
    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True
    use_dora: bool = False

    def peft_config(self) -> "peft.PeftConfig":
        """The LoRA or DoRA that PEFT puts on the 4-bit model."""
        return self._lora_config(use_dora=self.use_dora)

    def load_arguments(self, precision: Precision) -> dict[str, Any]:
        """Loads the frozen weights in 4 bits; products are computed in the training precision.

        Raises:
            TrainingError: bitsandbytes is not installed.
        """
        import importlib.util

        import torch
        from transformers import BitsAndBytesConfig

        if importlib.util.find_spec("bitsandbytes") is None:
            mend = "pip install 'kt-post-training[qlora]'"
            raise TrainingError("weights in 4 bits need the package bitsandbytes", where="update", mend=mend)
        dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=dtypes[precision],
        )
        return {"quantization_config": quantization}
