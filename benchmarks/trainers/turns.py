"""Trainers that take turns: one optimizer step each, so that whatever else the machine does hits all alike.

Each trainer is a process of its own with a callback of this module; a folder of small files is all they share. Needs
transformers alone: LLaMA-Factory imports it in an environment of its own, by its path.
"""

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

POLL_S = 0.01


class Table:
    """The folder around which the trainers sit: ``ready-N``, ``done-N`` and ``turn``.

    Args:
        place: of this trainer, from 0.
        num_places: how many sit there.
    """

    def __init__(self, folder: Path, place: int, num_places: int) -> None:
        self.folder, self.place, self.num_places = folder, place, num_places

    def wait_for_all(self, what: str) -> None:
        """Say that this trainer is ``what`` and wait until every one is, or has left."""
        (self.folder / f"{what}-{self.place}").touch()
        while not all(self._is(what, place) or self._is("left", place) for place in range(self.num_places)):
            time.sleep(POLL_S)

    def wait_for_turn(self) -> None:
        """Return when it is this trainer's turn."""
        while (turn := self._turn()) != self.place:
            if self._is("left", turn) or self._is("done", turn):
                self._give_to(turn, (turn + 1) % self.num_places)
            time.sleep(POLL_S)

    def pass_on(self) -> None:
        """Give the turn to the next trainer."""
        self._give_to(self.place, (self.place + 1) % self.num_places)

    def _is(self, what: str, place: int) -> bool:
        return (self.folder / f"{what}-{place}").exists()

    def _turn(self) -> int:
        file = self.folder / "turn"
        return int(file.read_text()) if file.exists() else 0

    def _give_to(self, before: int, after: int) -> None:
        """Hand over, unless another has done so."""
        if self._turn() == before:
            part = self.folder / f"turn.{self.place}.part"
            part.write_text(str(after))
            os.replace(part, self.folder / "turn")


class Turns(TrainerCallback):
    """Holds each optimizer step until it is this trainer's turn, and notes how long the step took.

    A step is all from its first forward pass to the optimizer's update, rollouts included; loading, logging,
    checkpoints and evaluation lie outside. ``steps.json`` has the seconds of each step, the peak memory of the process
    when the last step ended, and what the trainer logged.
    """

    def __init__(self, table: Table, out_dir: Path) -> None:
        self.table, self.out_dir = table, out_dir
        self.seconds: list[float] = []
        self.logs: list[dict[str, Any]] = []
        self._start = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for the others."""
        self.table.wait_for_all("ready")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for the turn."""
        self.table.wait_for_turn()
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the time and pass the turn on."""
        self.seconds.append(time.perf_counter() - self._start)
        self.table.pass_on()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep what was logged."""
        self.logs.append({key: value for key, value in (logs or {}).items() if isinstance(value, (int, float))})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write what was noted, then wait: saving must not run into another's steps."""
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        noted = {"seconds": self.seconds, "peak_memory_gb": peak_gb, "logs": self.logs}
        self.out_dir.mkdir(parents=True, exist_ok=True)
        (self.out_dir / "steps.json").write_text(json.dumps(noted))
        self.table.wait_for_all("done")


def sit_down(folder: Path, place: int, num_places: int, out_dir: Path) -> None:
    """Have every transformers trainer of this process take turns."""
    from transformers import trainer

    class Seated(Turns):
        def __init__(self) -> None:
            super().__init__(Table(folder, place, num_places), out_dir)

    trainer.DEFAULT_CALLBACKS.append(Seated)
