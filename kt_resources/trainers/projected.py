"""AdamW on projected gradients: the optimizer of GaLore (arXiv:2403.03507, Algorithm 1)."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from kt_resources.trainers.optimizer import Float32Copies


class ProjectedAdamW(torch.optim.Optimizer):
    """AdamW; in a group with a ``rank``, on the gradient's largest directions.

    Args:
        groups: of parameters; ``rank`` is the number of directions, None takes the whole gradient.
        update_every: steps between two choices of directions.
        scale: what an update from directions is multiplied by.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        update_every: int,
        scale: float,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "rank": None}
        super().__init__(groups, defaults | {"update_every": update_every, "scale": scale})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of every parameter that has a gradient."""
        result = closure() if closure else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)
        return result

    def _step(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        number = state["step"] = state.get("step", torch.tensor(0.0)) + 1
        if group["rank"] is not None:
            if "directions" not in state or (int(number) - 1) % group["update_every"] == 0:
                state["directions"] = directions(gradient, group["rank"])
            gradient = projected(gradient, state["directions"])
        update = self._adam(state, gradient, int(number), group)
        if group["rank"] is not None:
            update = group["scale"] * projected_back(update, state["directions"], parameter.shape)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(update, alpha=group["lr"])

    @staticmethod
    def _adam(state: dict[str, Any], gradient: torch.Tensor, number: int, group: dict[str, Any]) -> torch.Tensor:
        """``M̂ / (√V̂ + ε)``, both moments corrected for their start at 0."""
        first, second = group["betas"]
        mean = state.setdefault("exp_avg", torch.zeros_like(gradient))
        square = state.setdefault("exp_avg_sq", torch.zeros_like(gradient))
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        divisor = (square / (1 - second**number)).sqrt_().add_(group["eps"])
        return (mean / (1 - first**number)).div_(divisor)


class MasterProjectedAdamW(Float32Copies, ProjectedAdamW):
    """On float32 copies of weights in bfloat16."""


def directions(gradient: torch.Tensor, rank: int) -> torch.Tensor:
    """The first ``rank`` singular vectors of ``gradient`` (m × n) on its shorter side: (min(m, n), rank)."""
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    return (left if len(gradient) <= gradient.shape[1] else right.T)[:, :rank].contiguous()


def projected(gradient: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """``Pᵀ G`` (rank, n), or ``G Q`` (m, rank) where G is taller than wide."""
    return along.T @ gradient if len(gradient) <= gradient.shape[1] else gradient @ along


def projected_back(update: torch.Tensor, along: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """``P N`` or ``N Qᵀ``, (m, n) again."""
    return along @ update if shape[0] <= shape[1] else update @ along.T
