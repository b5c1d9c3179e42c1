"""A training that cannot fit is refused with settings that do; those are then accepted."""

from dataclasses import replace
from typing import Any

import pytest

from kt_resources.compute.catalog import named_device
from kt_resources.compute.memory.parts import Lengths
from kt_resources.compute.memory.shape import published
from kt_resources.errors import ComputeError
from kt_resources.trainers.fitting import Place, Settings, candidates, nearest_that_fits, require_fit
from kt_resources.trainers.lengths import bounded_lengths
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
    first, nearest = next(filter(where.fits, candidates(asked, where))), nearest_that_fits(asked, where)
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
    """Batches of 4, 2, 1; again with checkpointing; only then 4 bits; only then shorter rows, where they can be."""
    unmade = ROWS.model_copy(update={"known": False})
    found = list(candidates(settings(micro_batch_size=4), replace(place(), lengths=unmade, row_limit="datasets.a")))
    assert [c.optimization.micro_batch_size for c in found[:6]] == [4, 2, 1, 4, 2, 1]
    assert [c.update.type for c in found[:7]] == ["lora"] * 6 + ["qlora"]
    assert {c.optimization.max_seq_len for c in found[:12]} == {1024} and found[12].optimization.max_seq_len == 512


def test_rows_that_are_made_are_never_proposed_shorter() -> None:
    """A training refuses rows beyond its max_seq_len, so that settings with a shorter one would only fail later."""
    where = replace(place("t4", "llama-2-13b"), precision="fp16", lengths=ROWS.model_copy(update={"longest": 8000}))
    asked = settings("sft", "qlora", micro_batch_size=1, max_seq_len=8192)
    assert {one.optimization.max_seq_len for one in candidates(asked, where)} == {8192}
    with pytest.raises(ComputeError, match="no settings of this model fit; take a smaller base model"):
        require_fit("line/sft_model", asked, where)


@pytest.mark.parametrize("row_limit", ["", "datasets.training_mix.max_seq_len"])
def test_rows_to_be_made_are_proposed_shorter_only_with_the_limit_of_their_dataset(row_limit: str) -> None:
    asked = settings("sft", "qlora", micro_batch_size=1, max_seq_len=8192, gradient_checkpointing=True)
    bound = bounded_lengths(asked.objective, asked.optimization)
    where = replace(place("t4", "llama-2-13b"), precision="fp16", lengths=bound, row_limit=row_limit)
    with pytest.raises(ComputeError) as refused:
        require_fit("line/sft_model", asked, where)
    if not row_limit:
        assert "no settings of this model fit with rows as long as the recipe lets them be" in refused.value.mend
        return
    nearest = nearest_that_fits(asked, where)
    assert nearest is not None and nearest.optimization.max_seq_len < 8192
    assert f"{row_limit}: {nearest.optimization.max_seq_len} (longer rows are dropped)" in refused.value.mend
    made = replace(where, lengths=bounded_lengths(asked.objective, nearest.optimization), row_limit="")
    assert made.fits(nearest)


def test_a_rank_of_vera_is_none_of_loras() -> None:
    """VeRA's 256 rows are frozen and shared; a LoRA of rank 256 on 4 bits would hold 16 times what one of 16 does."""
    lighter = list(candidates(settings("sft", "vera", micro_batch_size=8), place()))[-1].update
    assert (lighter.type, lighter.r) == ("qlora", 16)
    kept = replace(settings(), update=UPDATES["lora"](type="lora", r=4, target_modules="attention"))
    lighter = list(candidates(kept, place()))[-1].update
    assert (lighter.r, lighter.target_modules) == (4, "attention")


@pytest.mark.parametrize(("update", "other"), [("vera", "qlora"), ("ia3", "qlora"), ("full", "lora")])
def test_another_strategys_learning_rate_is_given_up_and_the_proposal_says_so(update: str, other: str) -> None:
    asked = settings("sft", update, learning_rate=2e-3)
    found = next(one for one in candidates(asked, place()) if one.update.type == other)
    assert found.optimization.learning_rate is None
    assert "learning_rate: null" in str(found) and f"(null: the default of {other})" in str(found)
    unset = next(one for one in candidates(settings("sft", update), place()) if one.update.type == other)
    assert "learning_rate" not in str(unset)


def test_lora_on_four_bits_keeps_its_learning_rate() -> None:
    found = list(candidates(settings(learning_rate=1e-3), place()))
    assert {one.optimization.learning_rate for one in found} == {1e-3}
    assert {one.update.type for one in found} == {"lora", "qlora"}


def test_an_adapter_in_place_of_all_weights_takes_its_own_learning_rate() -> None:
    found = next(c for c in candidates(settings("sft", "full", learning_rate=1e-5), place()) if c.update.type == "lora")
    assert found.optimization.learning_rate is None


def test_where_nothing_fits_the_mend_says_so() -> None:
    with pytest.raises(ComputeError, match="no settings of this model fit"):
        require_fit("line/sft_model", settings(), place("t4", "llama-2-70b"))
