"""The weights worth keeping: those of the best held-out figure, or of the last step where nothing is held out."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kt_resources.compute.program import write_json


class Keeper:
    """Keeps one set of weights in ``folder``, replaced whole whenever a later one is at least as good.

    A tie goes to the later step, so that a run whose figure never moves keeps its training. The start model is
    judged too, but never kept: a step that made nothing better must be seen, not hidden.

    Args:
        folder: where the weights and ``kept.json`` stand; survives a crash.
        metric: the name of the figure, for example ``eval_loss``.
    """

    def __init__(self, folder: Path, metric: str, greater_is_better: bool) -> None:
        self.folder, self.metric, self._sign = folder, metric, 1 if greater_is_better else -1

    @property
    def kept(self) -> dict[str, Any] | None:
        """``{step, metrics}`` of what is kept."""
        return _read(self.folder / "kept.json")

    @property
    def start(self) -> dict[str, float] | None:
        """The held-out figures of the start model."""
        return _read(self.folder.parent / "start.json")

    def judge(self, step: int, metrics: dict[str, float], save: Callable[[Path], None], writes: bool) -> None:
        """Keep the weights of ``step`` where they are the best so far.

        ``save`` writes the weights into a folder; it is called on every process, ``writes`` is true on the one that
        owns the files.
        """
        if step == 0:
            if writes:
                write_json(self.folder.parent / "start.json", metrics)
            return
        kept = self.kept
        if kept and kept["step"] < step and self._score(metrics) < self._score(kept["metrics"]):
            return
        self._replace(step, metrics, save, writes)

    def _score(self, metrics: dict[str, float]) -> float:
        value = metrics.get(self.metric)
        return float("-inf") if value is None or value != value else self._sign * value

    def _replace(self, step: int, metrics: dict[str, float], save: Callable[[Path], None], writes: bool) -> None:
        part = self.folder.with_name(self.folder.name + ".part")
        if writes:
            shutil.rmtree(part, ignore_errors=True)
        save(part)
        if writes:
            write_json(part / "kept.json", {"step": step, "metrics": metrics})
            shutil.rmtree(self.folder, ignore_errors=True)
            os.replace(part, self.folder)


def _read(file: Path) -> Any:
    return json.loads(file.read_text()) if file.is_file() else None
