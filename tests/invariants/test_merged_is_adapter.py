"""The merged model answers as start and adapter together do, whatever the update strategy."""

from typing import Any

import pytest

from kt_resources.trainers.updates import UPDATES


@pytest.mark.parametrize(
    "update", [name for name, update in UPDATES.items() if update.has_adapter and update.mergeable]
)
def test_merged_equals_adapter(make_spec: Any, run: Any, update: str) -> None:
    if problem := UPDATES[update].model_construct().problem():
        pytest.skip(problem)
    facts = run(make_spec(update, "sft", {"type": update}, {"max_steps": 4, "num_evals": 1}))["facts"]
    assert facts["delta_norm_relative"] > 1e-3
    assert facts["adapter_merged_max_logit_diff"] < 1e-5
    assert abs(facts["adapter_merged_mean_kl"]) < 1e-6
