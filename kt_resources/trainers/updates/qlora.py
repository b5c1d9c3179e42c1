"""QLoRA: LoRA on frozen weights in 4 bits (Dettmers et al. 2023, arXiv:2305.14314).

The saved model is merged into the start model's own full-precision weights, never into the 4-bit ones.
"""

from typing import TYPE_CHECKING, Any, Literal

from kt_resources.compute.needs import Precision
from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.lora import LoraBase

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class QuantizedLora(LoraBase):
    """Options of adapters on weights in 4 bits: NF4 with double quantization.

    Attributes:
        quant_type: ``nf4`` (normal float) or ``fp4``.
        double_quant: quantize the scales too, which saves about 0.4 bits a weight.
    """

    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quant: bool = True

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

    def prepare(self, model: "PreTrainedModel") -> None:
        """Keep the 4-bit weights as training reads them, whatever is answered or measured before and between.

        On a CPU with AVX512-BF16 bitsandbytes lays a layer's weights out anew for inference, with scales in bf16, when
        it first answers without gradients, and leaves them so: no gradient comes through the layer from then on.
        """
        from bitsandbytes.nn import Linear4bit

        for module in model.modules():
            if isinstance(module, Linear4bit):
                module.support_avx512bf16_for_cpu = False


class Qlora(QuantizedLora):
    """LoRA on NF4 weights."""

    type: Literal["qlora"] = "qlora"
