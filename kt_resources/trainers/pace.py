"""When to evaluate, and when to write a checkpoint."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from transformers import TrainerCallback

from kt_resources.trainers.spec import Optimization, checkpoint_interval, eval_pace


class Pace(TrainerCallback):
    """Evaluates evenly, writes checkpoints as often as asked or as they are earned, and does both after the last step.

    Args:
        clock: seconds, of any beginning.
    """

    def __init__(
        self, optimization: Optimization, evaluates: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._optimization, self._evaluates, self._clock = optimization, evaluates, clock
        self._written, self._write_s = clock(), 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Seconds count from here."""
        self._written = self._clock()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Set the trainer's flags for this step."""
        step, last = state.global_step, state.max_steps
        pace = eval_pace(self._optimization, last)
        control.should_evaluate = self._evaluates and (step % pace == 0 or step == last)
        # Completions are no part of a checkpoint: between two steps that share them there is none.
        whole = step % getattr(args, "num_iterations", 1) == 0
        control.should_save = (self._is_due(step, args) and whole) or step == last
        control.should_log = control.should_log or control.should_save  # a resumed run's curve begins there
        return control

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A checkpoint is being written: the least that one took decides when the next is earned."""
        began = self._clock()
        yield
        self._written = self._clock()
        took = self._written - began
        self._write_s = min(self._write_s or took, took)

    def _is_due(self, step: int, args: Any) -> bool:
        if steps := self._optimization.checkpoint_steps:
            return step % steps == 0
        return _agreed(self._clock() - self._written >= checkpoint_interval(self._write_s), args)


def _agreed(due: bool, args: Any) -> bool:
    """The first process's answer in all of them: they write together, and their clocks differ."""
    if args.world_size == 1:
        return due
    import torch
    from accelerate.utils import broadcast

    return bool(broadcast(torch.tensor(int(due), device=args.device)).item())
