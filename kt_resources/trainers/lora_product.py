"""x Wᵀ + s (x Aᵀ) Bᵀ on a CPU as one function: nothing of the layer's width is made only to be added or scaled.

PEFT scales the adapter's output, adds it to the layer's, and does both again backwards: four passes over tensors of the
layer's width, 210 times a step of the 135M model. Here the small product is added where the large one stands, and the
scale goes to the r columns between A and B. On one thread that is 5 % of a step of SFT.

Loaded only inside the training program; it imports torch at the top.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear

_peft_forward = Linear.forward


def add_lora_in_place() -> None:
    """Let PEFT's LoRA layers compute by :class:`LoraProduct` where they are plain ones. Idempotent."""
    Linear.forward = _forward


def _forward(self: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if x.device.type != "cpu" or args or kwargs or not is_plain_lora(self) or len(self.active_adapters) != 1:
        return _peft_forward(self, x, *args, **kwargs)
    name, weight = self.active_adapters[0], self.base_layer.weight
    down, up = self.lora_A[name].weight, self.lora_B[name].weight
    one_type = x.dtype == weight.dtype == down.dtype == up.dtype and not torch.is_autocast_enabled("cpu")
    dropped = self.training and not isinstance(self.lora_dropout[name], torch.nn.Identity)
    if not one_type or dropped or weight.requires_grad or self.base_layer.bias is not None:
        return _peft_forward(self, x)
    return LoraProduct.apply(x, weight, down, up, self.scaling[name])


def is_plain_lora(layer: Any) -> bool:
    """Whether a tuner layer is LoRA as in the paper, active, on a linear layer of torch's own."""
    return is_linear_lora(layer) and not layer.lora_variant


def is_linear_lora(layer: Any) -> bool:
    """Whether a tuner layer is LoRA or a variant of it, active, on a linear layer of torch's own."""
    if type(layer) is not Linear or type(layer.base_layer) is not torch.nn.Linear or layer.merged:
        return False
    plain = not layer.fan_in_fan_out and not any(layer.lora_bias.values())
    return plain and not layer.disable_adapters and all(name in layer.lora_A for name in layer.active_adapters)


class LoraProduct(torch.autograd.Function):
    """y = x Wᵀ + s (x Aᵀ) Bᵀ for a frozen W; W (out, in), A (r, in), B (out, r)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Shapes: x (..., in), result (..., out)."""
        flat = x.reshape(-1, x.shape[-1])
        inner = flat @ down.t()
        ctx.save_for_backward(flat, weight, down, up, inner)
        ctx.scale, ctx.shape = scale, x.shape
        return (flat @ weight.t()).addmm_(inner, up.t(), alpha=scale).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        """∂/∂x = g W + s (g B) A, ∂/∂A = s (g B)ᵀ x, ∂/∂B = s gᵀ (x Aᵀ)."""
        flat, weight, down, up, inner = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        through_up = (gradient @ up).mul_(ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (gradient @ weight).addmm_(through_up, down).view(ctx.shape)
        return of_x, None, through_up.t() @ flat, (gradient.t() @ inner).mul_(ctx.scale), None
