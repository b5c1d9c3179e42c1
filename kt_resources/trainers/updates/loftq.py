"""LoftQ: QLoRA whose adapter begins with what the 4-bit rounding lost: ``Q + B₀ A₀ ≈ W`` (arXiv:2310.08659).

``B₀ A₀`` are the r largest singular values of W − Q (one step of the paper's Algorithm 1, on bitsandbytes' own NF4
weights). The saved adapter is ``B A − B₀ A₀`` and goes on the start model in full precision, where nothing was lost.
PEFT computes the start on a GPU only.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from kt_resources.compute.devices import find_devices
from kt_resources.compute.needs import Precision
from kt_resources.trainers.updates.qlora import QuantizedLora
from kt_resources.trainers.updates.reference import add_reference, over_the_start

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel


class Loftq(QuantizedLora):
    """QLoRA's options; the scale is 1, so that ``B₀ A₀`` is the residual itself."""

    type: Literal["loftq"] = "loftq"
    shardable: ClassVar[bool] = False

    def problem(self) -> str | None:
        """No GPU that PEFT can compute the start on, or a scale that would blow up the residual."""
        if self.alpha not in (None, self.r):
            return f"loftq has scale 1: leave alpha out, or set it to r ({self.r})"
        if not any(device.kind in ("cuda", "rocm") for device in find_devices()):
            return "loftq's initialization runs on a GPU only, and this machine has none; take qlora or pissa"
        return None

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """A LoRA of scale 1 on the 4-bit model."""
        config = self._lora_config(model)
        config.lora_alpha = self.r
        return config

    def attach(self, model: Any) -> None:
        """Begin with the residual, read from the start model's own files, and keep it."""
        from peft import replace_lora_weights_loftq

        replace_lora_weights_loftq(model, model_path=model.config._name_or_path)
        add_reference(model)

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """float32, as the residual is computed."""
        import torch

        return torch.float32

    def saved_adapter(self, kept: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
        """``B A − B₀ A₀``, the change of the start model."""
        weights, config = over_the_start(kept)
        return dict(weights), dict(config)
