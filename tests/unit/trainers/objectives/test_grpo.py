"""GRPO: the verifier is the reward; held-out reward of greedy answers picks the best; whole groups only."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import KtError, TrainingError
from kt_resources.trainers.objectives.rewards import VerifierReward, text_of
from kt_resources.trainers.spec import TrainSpec
from kt_resources.verifiers.exact import Exact
from kt_resources.verifiers.python import Python


def _curve(spec: TrainSpec) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]


def test_the_verifier_gets_each_completion_with_its_own_row() -> None:
    reward = VerifierReward(Exact(type="exact"))
    completions = [[{"role": "assistant", "content": f"so #### {answer}"}] for answer in ("4", "5")]
    assert reward(completions=completions, id=["a", "b"], answer=["4", "7"], log_metric=print) == [1.0, 0.0]


def test_a_verifier_that_fails_is_told_with_the_row(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def score(completion, row):\n    return 1 / 0\n")
    config = Python(type="python", path=f"{tmp_path / 'broken.py'}:score", answer_marker=None)
    with pytest.raises(KtError, match="row abc"):
        VerifierReward(config)(completions=["4"], id=["abc"], answer=["4"])


def test_text_of_either_form() -> None:
    assert text_of("a") == text_of([{"role": "assistant", "content": "a"}]) == "a"
    assert text_of([{"role": "assistant", "content": None}]) == ""


def test_the_verifier_sees_the_row_and_nothing_of_trl(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(
        "def score(completion, row):\n"
        "    return float(sorted(row) == ['answer', 'id', 'prompt'] and row['prompt'][-1]['content'] == 'Q')\n"
    )
    reward = VerifierReward(Python(type="python", path=f"{tmp_path / 'rows.py'}:score"))
    prompts, rows = [[{"role": "user", "content": "Q"}]], {"id": ["a"], "answer": ["4"]}
    assert reward(["4"], prompts=prompts, completion_ids=[[5]], trainer_state=None, environments=[None], **rows) == [
        1.0
    ]


def test_what_is_logged(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    spec = make_spec("grpo")
    facts = run(spec)["facts"]
    steps = [row for row in _curve(spec) if "reward" in row]
    assert [row["step"] for row in steps] == [1, 2, 3]
    for row in steps:
        assert {"reward", "completion_length", "truncated_fraction", "frac_reward_zero_std"} <= row.keys()
        assert 0 <= row["reward"] <= 1 and 0 <= row["truncated_fraction"] <= 1
        assert "kl" not in row
    held_out = [row for row in _curve(spec) if "eval_reward" in row]
    assert {"eval_reward", "eval_completion_length", "eval_truncated_fraction"} <= held_out[0].keys()
    assert facts["final_eval_reward"] is not None and facts["final_eval_loss"] is None


def test_with_beta_the_kl_is_zero_at_first_and_then_not(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    fields = make_spec("grpo").model_dump()
    objective = {"type": "grpo", "num_generations": 4, "max_completion_length": 6, "beta": 0.05}
    spec = TrainSpec.model_validate(fields | {"objective": objective})
    run(spec)
    divergence = [row["kl"] for row in _curve(spec) if "kl" in row]
    assert abs(divergence[0]) < 1e-6 < divergence[-1]


def test_a_constant_reward_moves_nothing_and_is_visible(
    make_spec: Callable[..., TrainSpec], run: Any, tmp_path: Path
) -> None:
    """All advantages are (r − mean) / std = 0: the adapter stays at its start, and the curve says why."""
    (tmp_path / "flat.py").write_text("def score(completion, row):\n    return 0.5 * len(row['prompt'][-1:])\n")
    verifier = {"type": "python", "path": f"{tmp_path / 'flat.py'}:score", "answer_marker": None}
    spec = make_spec("grpo", verifier=verifier)
    facts = run(spec)["facts"]
    assert facts["delta_norm_relative"] == 0.0
    assert all(row["frac_reward_zero_std"] == 1.0 for row in _curve(spec) if "reward" in row)


def test_a_step_must_hold_whole_groups(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    with pytest.raises(TrainingError, match="whole groups of 4"):
        run(make_spec("grpo", optimization={"micro_batch_size": 6, "max_steps": 1}))


def test_the_rows_that_were_asked_count_as_trained(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Three steps of 8 / 4 = 2 prompts: six rows."""
    assert run(make_spec("grpo"))["num_trained_rows"] == 6
