"""Eight rows at once, or one by one accumulated, make the same step."""

from typing import Any

import pytest


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_1x8_accumulated_equals_8x1(make_spec: Any, run: Any, weights: Any, curve: Any, objective: str) -> None:
    """SFT divides every micro-batch by the tokens of the whole step, so long rows weigh more in both; DPO averages
    over pairs. Float32 sums in another order: equal to 1e-5."""
    saved = []
    for name, sizes in (("at_once", (8, 1)), ("one_by_one", (1, 8))):
        cut = {"micro_batch_size": sizes[0], "gradient_accumulation_steps": sizes[1]}
        spec = make_spec(name, objective, {"type": "lora"}, {"max_steps": 4, "num_evals": 1, **cut})
        result = run(spec)
        assert result["steps"] == 4
        saved.append((weights(spec), [row["loss"] for row in curve(spec) if "loss" in row]))
    (at_once, losses), (one_by_one, other_losses) = saved
    assert max((at_once[name] - one_by_one[name]).abs().max().item() for name in at_once) < 1e-5
    assert losses == pytest.approx(other_losses, abs=1e-5)
