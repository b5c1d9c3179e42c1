"""A training that cannot fit is refused with settings that do; those are then accepted."""

from typing import Any

import pytest

from kt_resources.compute.catalog import named_device
from kt_resources.compute.memory.parts import Lengths
from kt_resources.compute.memory.shape import published
from kt_resources.errors import ComputeError
from kt_resources.trainers.fitting import Place, Settings, candidates, nearest_that_fits, require_fit
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization, problem_of
from kt_resources.trainers.updates import UPDATES

ROWS = Lengths(longest=1024, mean=400, scored=256, mean_scored=100, num_rows=1000)


def settings(objective: str = "sft", update: str = "lora", **optimization: Any) -> Settings:
    chosen = Optimization(**{"micro_batch_size": 16, "max_seq_len": 1024} | optimization)
    return Settings(OBJECTIVES[objective](), UPDATES[update](type=update), chosen)


def place(device: str = "rtx4090", model: str = "llama-3.1-8b") -> Place:
    return Place(published(model), ROWS, named_device(device), "bf16")


def test_what_fits_is_let_through_with_its_prediction() -> None:
    assert require_fit("line/sft_model", settings(micro_batch_size=2), place("a100-80gb")).peak_gb < 80


@pytest.mark.parametrize(
    ("objective", "update", "device", "model"),
    [
        ("sft", "lora", "rtx4090", "llama-3.1-8b"),
        ("dpo", "full", "rtx4090", "llama-3.1-8b"),
        ("orpo", "dora", "a100-40gb", "llama-2-13b"),
        ("grpo", "lora", "rtx4090", "qwen2.5-7b"),
        ("sft", "lora", "a100-80gb", "llama-2-70b"),
    ],
)
def test_what_cannot_fit_is_refused_and_the_proposed_settings_are_accepted(
    objective: str, update: str, device: str, model: str
) -> None:
    asked, where = settings(objective, update), place(device, model)
    with pytest.raises(ComputeError, match=r"needs [\d.]+ GB at its peak") as refused:
        require_fit("line/step_model", asked, where)
    nearest = nearest_that_fits(asked, where)
    assert nearest is not None and str(nearest) in refused.value.mend
    assert require_fit("line/step_model", nearest, where).peak_gb <= where.usable_gb


def test_what_the_strategy_refuses_is_not_proposed() -> None:
    """A prefix leaves its cache, which checkpointing would throw away."""
    asked = settings("sft", "prefix_tuning", micro_batch_size=1, max_seq_len=8192)
    rows = ROWS.model_copy(update={"longest": 8192})
    where = Place(published("llama-3.1-8b"), rows, named_device("rtx4090"), "bf16")
    first, nearest = next(filter(where.fits, candidates(asked))), nearest_that_fits(asked, where)
    assert nearest is not None
    refused = [problem_of(one.objective, one.update, one.optimization, sharded=False) for one in (first, nearest)]
    assert "gradient_checkpointing" in str(refused[0]) and refused[1] is None


def test_a_smaller_micro_batch_keeps_the_rows_of_a_step() -> None:
    nearest = nearest_that_fits(settings(micro_batch_size=16, gradient_accumulation_steps=2), place("a100-40gb"))
    assert nearest is not None
    chosen = nearest.optimization
    assert chosen.micro_batch_size < 16 and chosen.micro_batch_size * chosen.gradient_accumulation_steps == 32
    assert (chosen.gradient_checkpointing, nearest.update.type, chosen.max_seq_len) == (False, "lora", 1024)


def test_what_changes_the_result_comes_last() -> None:
    """Batches of 4, 2, 1; again with checkpointing; only then 4 bits; only then shorter rows."""
    found = list(candidates(settings(micro_batch_size=4)))
    assert [c.optimization.micro_batch_size for c in found[:6]] == [4, 2, 1, 4, 2, 1]
    assert [c.update.type for c in found[:7]] == ["lora"] * 6 + ["qlora"]
    assert {c.optimization.max_seq_len for c in found[:12]} == {1024} and found[12].optimization.max_seq_len == 512


def test_an_adapter_in_place_of_all_weights_takes_its_own_learning_rate() -> None:
    found = next(c for c in candidates(settings("sft", "full", learning_rate=1e-5)) if c.update.type == "lora")
    assert found.optimization.learning_rate is None


def test_where_nothing_fits_the_mend_says_so() -> None:
    with pytest.raises(ComputeError, match="no settings of this model fit"):
        require_fit("line/sft_model", settings(), place("t4", "llama-2-70b"))
