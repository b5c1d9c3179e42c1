"""Progress, and the curve of a run."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

COLUMNS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "num_tokens": "tokens",
    "entropy": "entropy",
    "mean_token_accuracy": "mean_token_accuracy",
    "kl": "kl",
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "frac_reward_zero_std",
    "redrawn_groups": "redrawn_groups",
    "equal_groups": "equal_groups",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "truncated_fraction",
    "clip_ratio/region_mean": "clip_fraction",
    "accuracy": "reward_accuracy",
    "margin": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
}
"""TRL's names of the figures → the curve's; the same after ``eval_``."""

SHOWN = ("loss", "eval_loss", "reward", "eval_reward", "kl", "learning_rate", "tokens")


def curve_row(logs: dict[str, Any], step: int) -> dict[str, Any]:
    """A row of the curve from what a trainer logs; empty but for ``step`` where there is nothing to plot.

    >>> curve_row({"completions/mean_length": 9.0, "epoch": 1.0}, 3)
    {'step': 3, 'completion_length': 9.0}
    """
    row: dict[str, Any] = {"step": step}
    for key, value in logs.items():
        name = key.removeprefix("eval_")
        known = name in COLUMNS or name in COLUMNS.values()
        if known and key != "eval_num_tokens":
            row[("eval_" if name != key else "") + COLUMNS.get(name, name)] = value
    return row


def total_tokens(rows: Iterable[dict[str, Any]]) -> int:
    """Tokens over a whole run; the counter starts again at 0 when a run resumes.

    >>> total_tokens([{"tokens": 10}, {"tokens": 30}, {"tokens": 5}])
    35
    """
    total = last = 0
    for row in rows:
        tokens = int(row.get("tokens", last))
        total, last = total + (tokens if tokens < last else tokens - last), tokens
    return total


def total_redrawn(rows: Iterable[dict[str, Any]]) -> int | None:
    """Groups drawn again over a whole run; each row holds the mean over the steps since the last one.

    >>> total_redrawn([{"step": 2, "redrawn_groups": 1.5}, {"step": 3, "redrawn_groups": 0.0}])
    3
    """
    total, last, any_row = 0.0, 0, False
    for row in rows:
        if "redrawn_groups" in row:
            total, last, any_row = total + row["redrawn_groups"] * (row["step"] - last), row["step"], True
    return round(total) if any_row else None


class Curve(TrainerCallback):
    """Writes ``run/curve.jsonl`` as the run goes and reports progress; on the first process alone."""

    def __init__(self, file: Path, progress: Any, name: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._file, self._progress, self._name = file, progress, name

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write again what a resumed run had logged up to its checkpoint."""
        logged = [curve_row(logs, logs["step"]) for logs in state.log_history]
        self.rows = [row for row in logged if len(row) > 1]
        if state.is_world_process_zero:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Append one row and report."""
        row = curve_row(logs or {}, state.global_step)
        if len(row) == 1:
            return
        self.rows.append(row)
        if state.is_world_process_zero:
            with self._file.open("a") as file:
                file.write(json.dumps(row) + "\n")
            figures = {key: float(row[key]) for key in SHOWN if row.get(key) is not None}
            self._progress.report(state.global_step, state.max_steps, self._name, **figures)
