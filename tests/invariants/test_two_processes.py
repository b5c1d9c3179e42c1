"""Two processes on one CPU (gloo) train as one process does with the same total batch."""

import json
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
