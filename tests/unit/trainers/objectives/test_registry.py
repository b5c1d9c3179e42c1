"""The registry is the union: every objective under its own name, with what the recipe needs to know of it."""

from typing import get_args

import pytest

from kt_resources.trainers.objectives import OBJECTIVES


@pytest.mark.parametrize(("name", "objective"), OBJECTIVES.items())
def test_an_objective_is_complete(name: str, objective: type) -> None:
    assert get_args(objective.model_fields["type"].annotation) == (name,)
    assert objective.rows in ("tokenized", "preference_pairs", "labels", "prompts")
    assert objective.rows not in objective.also_fits
    assert 0 < objective.full_learning_rate < objective.adapter_learning_rate < 1e-2
    assert objective.makes in ("language_model", "reward_model")
    assert objective.metric.startswith("eval_")
    assert objective().type == name
