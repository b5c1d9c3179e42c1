"""Completions that teach nothing are left out of the loss: those whose advantage is 0, as in a group of equal rewards.

They add 0 to the loss and to its gradient, for the price of a forward and a backward pass; half to three quarters of
the groups of a policy that is mostly right are such. What is left is divided by what TRL would have divided by, so
that the gradient is the same. Entropy and clip fraction are then means over the completions that teach.

Loaded only inside the training program; it imports torch at the top.
"""

from typing import Any

import torch

BY_COMPLETIONS = ("grpo", "dr_grpo")
"""Losses that TRL divides by the number of completions in the batch."""

BY_ITEMS = ("dapo",)
"""Losses that TRL divides by a number counted beforehand."""


class TaughtOnly:
    """Mixed in before TRL's GRPOTrainer."""

    def _compute_loss(self: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        taught = self._taught(inputs)
        if taught is None:
            return super()._compute_loss(model, inputs)  # type: ignore[misc]
        loss = super()._compute_loss(model, rows_of(inputs, taught))  # type: ignore[misc]
        return loss * (len(taught) / len(inputs["advantages"]) if self.loss_type in BY_COMPLETIONS else 1)

    def _taught(self: Any, inputs: dict[str, Any]) -> torch.Tensor | None:
        """Numbers of the completions with an advantage, at least one; None where all of them count.

        TRL gathers a figure of every completion: where another process has more of them, some without fill up.
        """
        alone = self.beta == 0 and self.top_entropy_quantile == 1 and not self._entropy_bonus_enabled
        counted = self.loss_type in BY_COMPLETIONS + BY_ITEMS and not self.aux_loss_enabled
        pictures = any(name.startswith(("pixel", "image")) for name in inputs)
        if not (self.model.training and alone and counted) or pictures:
            return None
        advantages = inputs["advantages"]
        idle = (advantages.reshape(len(advantages), -1) == 0).all(dim=1)
        most = max(1, int(self.accelerator.gather((~idle).sum().reshape(1)).max()))
        return None if most == len(advantages) else idle.int().argsort(stable=True)[:most]


def rows_of(inputs: dict[str, Any], numbers: torch.Tensor) -> dict[str, Any]:
    """TRL's inputs of those completions alone; what is not one entry a completion stays whole."""
    count = len(inputs["advantages"])

    def of(value: Any) -> Any:
        by_completion = isinstance(value, torch.Tensor) and value.dim() and len(value) == count
        return value[numbers.to(value.device)] if by_completion else value

    return {name: of(value) for name, value in inputs.items()}
