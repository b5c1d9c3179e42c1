"""Curve rows, token counts over a resumed run, when to evaluate and to save."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kt_resources.trainers.curve import Curve, Pace, curve_row, total_tokens
from kt_resources.trainers.spec import Optimization, paces


def test_names_are_the_projects_and_timings_stay_out() -> None:
    logs = {"loss": 1.0, "completions/clipped_ratio": 0.5, "eval_rewards/margins": 2.0, "train_runtime": 9.0}
    assert curve_row(logs, 4) == {"step": 4, "loss": 1.0, "truncated_fraction": 0.5, "eval_reward_margin": 2.0}


def test_tokens_of_a_resumed_run_add_up() -> None:
    """30 tokens, then a crash; the counter starts again and reaches 20: 50 in all."""
    assert total_tokens([{"tokens": 10}, {"step": 1}, {"tokens": 30}, {"tokens": 5}, {"tokens": 20}]) == 50


def test_paces_divide_the_run() -> None:
    assert paces(Optimization(num_evals=5), 12) == (3, 1)
    assert paces(Optimization(num_evals=5), 1000) == (200, 50)
    assert paces(Optimization(eval_steps=7, checkpoint_steps=2), 12) == (7, 2)


def _flags(pace: Pace, step: int, max_steps: int) -> tuple[bool, bool]:
    control = SimpleNamespace(should_evaluate=False, should_save=False, should_log=False)
    pace.on_step_end(None, SimpleNamespace(global_step=step, max_steps=max_steps), control)
    return control.should_evaluate, control.should_save


def test_the_last_step_is_always_evaluated_and_saved() -> None:
    pace = Pace(Optimization(eval_steps=4, checkpoint_steps=5), evaluates=True)
    flags = {step: _flags(pace, step, 9) for step in (3, 4, 5, 9)}
    assert flags == {3: (False, False), 4: (True, False), 5: (False, True), 9: (True, True)}
    assert _flags(Pace(Optimization(), evaluates=False), 9, 9) == (False, True)


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
