"""Two processes on one CPU (gloo) train as one process does with the same total batch."""

import json
import multiprocessing
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_two_processes_train_as_one(make_spec: Any, run: Any, launch: Any, weights: Any, objective: str) -> None:
    """Two micro-batches of four rows against one of eight: the same rows in every step, the same weights to 1e-5."""
    steps = {"max_steps": 4, "num_evals": 2}
    one = make_spec("one", objective, {"type": "lora"}, {**steps, "micro_batch_size": 8})
    two = make_spec("two", objective, {"type": "lora"}, {**steps, "micro_batch_size": 4})
    process = launch(two, processes=2)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    run(one)
    result = json.loads((two.out_dir / "run" / "result.json").read_text())
    assert result["processes"] == 2 and result["steps"] == 4
    expected, found = weights(one), weights(two)
    assert max((expected[name] - found[name]).abs().max().item() for name in expected) < 1e-5
    facts = json.loads((one.out_dir / "facts.json").read_text())
    assert result["facts"]["final_eval_loss"] == pytest.approx(facts["final_eval_loss"], abs=1e-5)
    assert result["num_trained_rows"] == facts["num_trained_rows"] == 32


@pytest.mark.slow
def test_two_processes_draw_other_prompts_each_by_itself(make_spec: Any, launch: Any, tmp_path: Path) -> None:
    """DAPO: what either process drew in place of groups of equal rewards is counted once, and among the rows trained.

    The processes need not draw equally often, and their groups need not leave equally many completions to learn from.
    """
    import pyarrow.parquet as pq

    scorer = "def score(completion, row):\n    return len(completion) % 2 if int(row['answer']) % 2 else 0.0\n"
    (tmp_path / "rewards.py").write_text(scorer)
    judge = {"type": "python", "path": f"{tmp_path / 'rewards.py'}:score", "answer_marker": None}
    steps = {"max_steps": 3, "num_evals": 1, "micro_batch_size": 8}
    spec = make_spec("two", "dapo", {"type": "lora"}, steps, verifier=judge)
    process = launch(spec, processes=2)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    notes = [
        [json.loads(line) for line in (spec.scratch_dir / f"drawn-{number}.jsonl").read_text().splitlines()]
        for number in range(2)
    ]
    assert [[note["step"] for note in of_one] for of_one in notes] == [[1, 2, 3], [1, 2, 3]]
    drawn = [note["ids"] for of_one in notes for note in of_one]
    assert sum(map(len, drawn)) > 0 and drawn[:3] != drawn[3:]
    result = json.loads((spec.out_dir / "run" / "result.json").read_text())
    assert result["processes"] == 2
    assert result["facts"]["redrawn_groups"] == sum(map(len, drawn))
    trained = pq.read_table(spec.out_dir / "trained_rows.parquet").column("id").to_pylist()
    assert {id_ for ids in drawn for id_ in ids} <= set(trained) and len(trained) == len(set(trained))


def _is_saved(rank: int, port: int, folder: Path) -> None:
    """In a process of its own, in which so many seconds have passed: 100 in the first, none in the second."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    from accelerate import PartialState

    from kt_resources.trainers.pace import Pace
    from kt_resources.trainers.spec import Optimization

    state = PartialState(cpu=True)
    times = iter([0.0, 0.0, 100.0 * (1 - rank), 0.0])
    pace = Pace(Optimization(), evaluates=False, clock=lambda: next(times))
    arguments = SimpleNamespace(world_size=state.num_processes, device=state.device)
    pace.on_train_begin(arguments, None, None)
    control = SimpleNamespace(should_log=False)
    pace.on_step_end(arguments, SimpleNamespace(global_step=1, max_steps=9), control)
    (folder / str(rank)).write_text(str(control.should_save))
    state.destroy_process_group()


@pytest.mark.slow
def test_two_processes_write_a_checkpoint_when_the_first_ones_clock_says_so(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = multiprocessing.get_context("spawn").Process
    processes = [start(target=_is_saved, args=(rank, port, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["True", "True"]
