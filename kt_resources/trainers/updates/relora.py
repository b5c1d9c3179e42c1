"""ReLoRA: LoRA, folded into the weights and begun anew several times: a high-rank update from low ranks.

Lialin et al. 2023 (arXiv:2307.05695, Algorithm 1): ``W ← W + s B A``, A drawn anew, B = 0, the optimizer's state
forgotten, and the learning rate warmed up again. What was folded in is kept as the adapter ``ref`` of rank r times the
restarts, so that the saved adapter, ``Σ s Bᵢ Aᵢ``, goes on the start model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.updates.lora import LoraBase
from kt_resources.trainers.updates.reference import fold_in, fold_in_again, over_the_start

if TYPE_CHECKING:
    import torch
    from transformers import TrainerCallback


class Relora(LoraBase):
    """LoRA's options and its restarts.

    Attributes:
        restarts: how often, evenly over the run; the learned update has up to (restarts + 1) · r ranks.
        warmup: share of the steps between two restarts over which the rate rises from 0 again.
    """

    type: Literal["relora"] = "relora"
    shardable: ClassVar[bool] = False

    restarts: int = Field(default=3, ge=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)

    def rate_factor(self, step: int, total_steps: int) -> float:
        """Rises linearly after each restart."""
        length = cycle_steps(total_steps, self.restarts)
        rising = int(self.warmup * length) + 1
        return 1.0 if step < length else min(1.0, (step % length + 1) / rising)

    def callbacks(self) -> list["TrainerCallback"]:
        """Folds the adapter in and begins it anew."""
        return [_callback(self)]

    def saved_adapter(self, kept: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
        """All that was folded in, and the present adapter, as one."""
        weights, config = over_the_start(kept)
        return dict(weights), dict(config)


def cycle_steps(total_steps: int, restarts: int) -> int:
    """Steps between two restarts.

    >>> cycle_steps(12, 3)
    3
    """
    return -(-total_steps // (restarts + 1))


def _callback(update: Relora) -> "TrainerCallback":
    from transformers import TrainerCallback

    class Restarts(TrainerCallback):
        """At the end of a step: fold in, begin anew, forget."""

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            """The weights of a resumed run are the start's: fold in what had been."""
            fold_in_again(model)

        def on_step_end(
            self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **kwargs: Any
        ) -> None:
            """Not after the last step: nothing would be learned from there."""
            step = state.global_step
            if step % cycle_steps(state.max_steps, update.restarts) or step == state.max_steps:
                return
            fold_in(model)
            _begin_anew(model, args.seed + step)
            _forget(getattr(optimizer, "optimizer", optimizer))

    return Restarts()


def _begin_anew(model: Any, seed: int) -> None:
    """A as LoRA draws it, the same on every process; B zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if ".lora_A.default." in name:
            bound = parameter.shape[1] ** -0.5
            drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            parameter.data.copy_(drawn)
        elif ".lora_B.default." in name:
            parameter.data.zero_()


def _forget(optimizer: Any) -> None:
    """Drop the moments; float32 copies are taken anew from the model."""
    from kt_resources.trainers.optimizer import Float32Copies

    optimizer.state.clear()
    if isinstance(optimizer, Float32Copies):
        optimizer.copy_anew()
