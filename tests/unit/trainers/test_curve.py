"""Curve rows, and token counts over a resumed run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kt_resources.trainers.curve import Curve, curve_row, total_tokens


def test_names_are_the_projects_and_timings_stay_out() -> None:
    logs = {"loss": 1.0, "completions/clipped_ratio": 0.5, "eval_rewards/margins": 2.0, "train_runtime": 9.0}
    assert curve_row(logs, 4) == {"step": 4, "loss": 1.0, "truncated_fraction": 0.5, "eval_reward_margin": 2.0}


def test_tokens_of_a_resumed_run_add_up() -> None:
    """30 tokens, then a crash; the counter starts again and reaches 20: 50 in all."""
    assert total_tokens([{"tokens": 10}, {"step": 1}, {"tokens": 30}, {"tokens": 5}, {"tokens": 20}]) == 50


class _Progress:
    def __init__(self) -> None:
        self.reports: list[Any] = []

    def report(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        self.reports.append((done, total, message, metrics))


def _state(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(is_world_process_zero=True, max_steps=3, log_history=[], **fields)


def test_a_log_becomes_a_row_and_a_report(tmp_path: Path) -> None:
    progress = _Progress()
    curve = Curve(tmp_path / "run" / "curve.jsonl", progress, "sft")
    curve.on_train_begin(None, _state(global_step=0), None)
    curve.on_log(None, _state(global_step=1), None, logs={"loss": 2.0, "num_tokens": 64, "epoch": 0.1})
    curve.on_log(None, _state(global_step=1), None, logs={"train_runtime": 3.0})
    assert (tmp_path / "run" / "curve.jsonl").read_text() == '{"step": 1, "loss": 2.0, "tokens": 64}\n'
    assert progress.reports == [(1, 3, "sft", {"loss": 2.0, "tokens": 64.0})]


def test_a_resumed_run_shows_its_whole_curve(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "curve.jsonl", _Progress(), "sft")
    state = _state(global_step=1)
    state.log_history = [{"step": 1, "loss": 2.0}, {"step": 1, "train_runtime": 3.0}]
    curve.on_train_begin(None, state, None)
    curve.on_log(None, _state(global_step=2), None, logs={"loss": 1.0})
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
