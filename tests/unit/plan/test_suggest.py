"""The decision guides' situations: what is proposed, for which reason, by whose rule; and it fits the device."""

from dataclasses import dataclass
from typing import Any

import pytest

from kt_assets.plan.suggest.situation import Situation
from kt_assets.plan.suggest.suggestion import Suggestion, suggest
from kt_resources.compute.catalog import named_device
from kt_resources.compute.devices import Device
from kt_resources.compute.memory.shape import published
from kt_resources.errors import ComputeError, RecipeError
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import UPDATES

FAST = ("pissa", 8) if "pissa" in UPDATES else ("dora", 16)
"""PiSSA where the registry has it."""


@dataclass(frozen=True)
class Case:
    """A situation of a guide, and what it advises: objective → (update, rank)."""

    model: str
    device: str
    rows: dict[str, Any]
    steps: list[tuple[str, str, int | None]]
    rule: str


CASES = {
    "a 70B model on one GPU": Case(
        "llama-3.1-70b", "a100-80gb", {"examples": 3000}, [("sft", "qdora", 8)], "playbook"
    ),
    "fast iteration on a 7B model": Case(
        "llama-2-7b", "a100-80gb", {"examples": 3000, "wish": "fast"}, [("sft", *FAST)], "playbook"
    ),
    "alignment with labels alone": Case("llama-3.1-8b", "a100-80gb", {"labels": 400}, [("kto", "lora", 8)], "playbook"),
    "few pairs after examples": Case(
        "llama-3.1-8b",
        "a100-80gb",
        {"examples": 2000, "pairs": 90},
        [("sft", "dora", 16), ("kto", "lora", 8)],
        "playbook",
    ),
    "one stage, most efficient": Case(
        "llama-3.1-8b",
        "a100-80gb",
        {"examples": 500, "pairs": 3000, "wish": "one_stage"},
        [("orpo", "dora", 8)],
        "playbook",
    ),
    "the playbook's pipeline": Case(
        "llama-3.1-8b",
        "a100-80gb",
        {"examples": 3000, "pairs": 20_000, "goal": "expert"},
        [("orpo", "dora", 8), ("sft", "dora", 64), ("simpo", "lora", 8)],
        "playbook",
    ),
    "the survey's pipeline on a consumer GPU": Case(
        "llama-3.1-8b",
        "rtx4090",
        {"examples": 3000, "pairs": 500, "prompts": 400, "verifiable": True, "goal": "reasoning"},
        [("sft", "qlora", 32), ("dpo", "lora", 8), ("grpo", "lora", 16)],
        "survey",
    ),
    "classification at a low rank": Case(
        "llama-3.2-3b", "a100-80gb", {"examples": 800, "goal": "classification"}, [("sft", "dora", 4)], "guide"
    ),
    "code at a high rank, tests as rewards": Case(
        "llama-3.1-8b",
        "a100-80gb",
        {"examples": 5000, "verifiable": True, "goal": "code"},
        [("sft", "dora", 64), ("grpo", "lora", 16)],
        "guide",
    ),
    "all weights for research": Case(
        "llama-3.2-1b", "a100-80gb", {"examples": 200_000, "wish": "all_weights"}, [("sft", "full", None)], "guide"
    ),
    "a small model without a GPU": Case(
        "smollm2-135m", "cpu", {"examples": 900, "verifiable": True, "goal": "extraction"},
        [("sft", "lora", 8), ("grpo", "lora", 16)], "memory model",
    ),
    "prompts that a program can judge, and nothing else": Case(
        "llama-3.2-3b", "a100-80gb", {"prompts": 500, "verifiable": True, "goal": "reasoning"},
        [("grpo", "lora", 16)], "survey",
    ),
}  # fmt: skip


def made(case: Case) -> Suggestion:
    rows = {"longest": 512, "mean": 200.0, "answer_tokens": 128} | case.rows
    device = (
        Device(kind="cpu", index=0, name="x86_64", memory_gb=24) if case.device == "cpu" else named_device(case.device)
    )
    return suggest(Situation(published(case.model), device, **rows))


@pytest.mark.parametrize("name", CASES)
def test_what_the_guide_advises_is_proposed(name: str) -> None:
    case = CASES[name]
    suggestion = made(case)
    found = [
        (step.link.objective, step.settings.update.type, getattr(step.settings.update, "r", None))
        for step in suggestion.steps
    ]
    assert found == case.steps
    sources = [choice.source for choice in (*suggestion.chain, *(c for step in suggestion.steps for c in step.choices))]
    assert any(case.rule in source for source in sources)


@pytest.mark.parametrize("name", CASES)
def test_every_choice_has_a_reason_and_a_source_and_every_step_fits(name: str) -> None:
    suggestion = made(CASES[name])
    for step in suggestion.steps:
        assert all(choice.why and choice.source for choice in step.choices)
        assert step.memory_gb <= suggestion.situation.device.memory_gb * 0.95
        assert {"update", "micro_batch_size", "learning_rate"} <= {choice.what for choice in step.choices}


@pytest.mark.parametrize("name", CASES)
def test_the_steps_are_values_that_a_recipe_takes(name: str) -> None:
    before = "base_model"
    for step in made(CASES[name]).recipe_steps():
        assert step["start"] == before
        OBJECTIVES[step["objective"]["type"]].model_validate(step["objective"])
        UPDATES[step["update"]["type"]].model_validate(step["update"])
        Optimization.model_validate(step["optimization"])
        before = step["name"]


@pytest.mark.parametrize(("rows", "epochs"), [(500, 10), (5_000, 5), (50_000, 3), (500_000, 1)])
def test_epochs_fall_with_the_rows(rows: int, epochs: int) -> None:
    (step,) = made(Case("llama-3.2-1b", "a100-80gb", {"examples": rows}, [], "")).steps
    assert step.settings.optimization.num_epochs == epochs


def test_the_batch_is_the_guides_heuristic_accumulated_to_sixteen() -> None:
    """0.8 · 85.9 GB / (2 · 1.24 B) / 4 = 6.9: four rows, four times."""
    (step,) = made(Case("llama-3.2-1b", "a100-80gb", {"examples": 2000}, [], "")).steps
    chosen = step.settings.optimization
    assert (chosen.micro_batch_size, chosen.gradient_accumulation_steps) == (4, 4)


def test_what_the_rules_wish_for_gives_way_to_memory_and_says_so() -> None:
    """All weights of 8B do not fit 80 GB; the adapter that does is proposed instead."""
    (step,) = made(Case("llama-3.1-8b", "a100-80gb", {"examples": 2000, "wish": "all_weights"}, [], "")).steps
    assert step.settings.update.type == "lora"
    assert "instead of update: {type: full" in step.choices[-1].why


def test_prompts_without_a_judge_are_refused() -> None:
    with pytest.raises(RecipeError, match="nothing to judge answers by"):
        made(Case("llama-3.2-1b", "a100-80gb", {"prompts": 500}, [], ""))


def test_a_model_that_fits_in_no_way_is_refused() -> None:
    with pytest.raises(ComputeError, match="does not fit t4 in any way"):
        made(Case("llama-2-70b", "t4", {"examples": 500}, [], ""))


def test_a_step_that_fits_only_without_room_for_a_prompt_is_refused() -> None:
    """Completions of 1,000 tokens, and memory for rows of 1,024 in all."""
    rows = {"prompts": 500, "verifiable": True, "goal": "reasoning", "longest": 2048, "answer_tokens": 500}
    small = named_device("t4").model_copy(update={"memory_gb": 10.5})
    with pytest.raises(ComputeError, match="only with room for 24 tokens of a prompt"):
        suggest(Situation(published("llama-3.1-8b"), small, **rows))
