"""The speed benchmark: turns alternate, ratios are of the same rows, the page says what failed."""

import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.trainers.figures import speed_ratio
from benchmarks.trainers.page import page
from benchmarks.trainers.turns import Table, Turns


def _train(table: Table, steps: int, order: list[int]) -> Turns:
    turns = Turns(table, table.folder / str(table.place))
    turns.on_train_begin(None, None, None)
    for _ in range(steps):
        turns.on_step_begin(None, None, None)
        order.append(table.place)
        time.sleep(0.005)
        turns.on_step_end(None, None, None)
    turns.on_train_end(None, None, None)
    return turns


def test_trainers_take_turns_step_by_step(tmp_path: Path) -> None:
    order: list[int] = []
    threads = [threading.Thread(target=_train, args=(Table(tmp_path, place, 3), 3, order)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert order == [0, 1, 2, 0, 1, 2, 0, 1, 2]


def test_one_that_left_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "left-1").touch()
    order: list[int] = []
    threads = [threading.Thread(target=_train, args=(Table(tmp_path, place, 3), 2, order)) for place in (0, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert order == [0, 2, 0, 2]


def test_a_ratio_is_of_all_seconds_and_its_interval_holds_it() -> None:
    ratio = speed_ratio([1.0, 1.0, 2.0], [2.0, 3.0, 4.0])  # 9 s over 4 s
    assert ratio.value == 2.25
    assert 2.0 <= ratio.low <= 2.25 <= ratio.high <= 3.0


def _result(trl_error: str = "") -> dict[str, Any]:
    job = {"objective": "sft", "steps": 2, "batch": 8, "learning_rate": 1e-3, "bf16": True}
    ours = {"seconds": [1.0, 1.0], "peak_memory_gb": 2.0, "logs": [], "error": ""}
    trl = {"seconds": [2.0, 3.0], "peak_memory_gb": 3.0, "logs": [], "error": trl_error}
    held_out = {"start": 1.5, "ours": 0.8} | ({} if trl_error else {"TRL": 0.95})
    return {
        "contests": {"sft": {"job": job, "tokens": 1000, "ran": {"ours": ours, "TRL": trl}, "held_out": held_out}},
        "versions": {"ours and TRL": {"trl": "1.16.0"}},
        "machine": {"cpu": "a CPU", "cores": 2, "load_15_min": 0.5},
        "minutes": 3.0,
        "date": "2026-01-01",
    }


def test_the_page_has_speeds_ratios_and_the_verdict_on_losses() -> None:
    text = page(_result())
    assert "| ours | 1.00 | 500 |  | 2.0 | 0.800 |" in text  # 1000 tokens in 2 s
    assert "| TRL | 2.50 | 200 | 2.50 (2.00–3.00) | 3.0 | 0.950 |" in text  # 5 s over 2 s
    assert "0.150 nats apart, **not within** the tolerance of 0.1" in text
    assert "Aim against TRL: 2 times. Met, with the whole interval." in text


def test_a_contestant_that_failed_is_said_to_have() -> None:
    text = page(_result(trl_error="Traceback ..."))
    assert "| TRL | did not finish | | | | |" in text
    assert "Aim against TRL" not in text
