"""Optimizers for weights in bfloat16: the updates are added up in float32 copies.

bfloat16 keeps eight bits: numbers near 0.04 stand 2.4e-4 apart, an update of 1e-5 is rounded away, and a low
learning rate would train nothing. The model computes with the rounded copy; the optimizer owns the float32 one.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as _Optimizer
else:
    _Optimizer = object


class Float32Copies(_Optimizer):
    """Mixed in before an optimizer: it works on float32 copies of the given parameters, written back after every step.

    The optimizer's parameters, state and checkpoints are float32; gradients come from the model's own parameters.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **options: Any) -> None:
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        super().__init__([group | {"params": self._copies(group["params"])} for group in groups], **options)

    def _copies(self, parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        copies = []
        for parameter in parameters:
            copy = parameter.detach().float().clone().requires_grad_()
            self._pairs.append((parameter, copy))
            copies.append(copy)
        return copies

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step in float32, then the rounded values into the model, whose gradients are gone."""
        for parameter, copy in self._pairs:
            copy.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None  # never all gradients twice
        result = super().step(closure)
        for parameter, copy in self._pairs:
            parameter.copy_(copy)
            copy.grad = None
        return result

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the model's parameters."""
        for parameter, _ in self._pairs:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and, under ``masters``, the float32 weights."""
        return super().state_dict() | {"masters": [copy.detach() for _, copy in self._pairs]}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore state and float32 weights, and the model's parameters from these."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "masters"})
        for (parameter, copy), saved in zip(self._pairs, state_dict["masters"], strict=True):
            copy.copy_(saved)
            parameter.copy_(saved)

    @torch.no_grad()
    def copy_anew(self) -> None:
        """Take the float32 copies from the model's parameters again, after these were set from outside."""
        for parameter, copy in self._pairs:
            copy.copy_(parameter)


class MasterAdamW(Float32Copies, torch.optim.AdamW):
    """AdamW on float32 copies."""
