"""What is proposed for a line makes a right recipe of its own, whatever it named before."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import kt_assets.recipes
from kt_assets.definitions import load_lines
from kt_assets.line import Line, build_line
from kt_assets.plan.suggest.of_line import line_situation
from kt_assets.plan.suggest.sections import Sections, sections_of
from kt_assets.plan.suggest.situation import GOALS, WISHES, Goal, Situation, Wish
from kt_assets.plan.suggest.suggestion import suggest
from kt_resources.compute.catalog import named_device
from kt_resources.compute.memory.shape import published
from kt_resources.contracts.contract import load_contracts
from kt_resources.recipes.recipe import Recipe

LINES = sorted(path.parent.name for path in Path(kt_assets.recipes.__path__[0]).glob("*/recipe.yaml"))


@cache
def line_of(name: str) -> Line:
    return next(line for line in load_lines()[0] if line.name == name)


def situation(line: Line, goal: Goal = "chat", wish: Wish = "quality") -> Situation:
    return line_situation(line, published("llama-3.1-8b"), named_device("a100-80gb"), goal, wish)


def changed(line: Line, sections: Sections) -> Recipe:
    """The line's recipe with the sections, read as they are printed."""
    printed = yaml.safe_load(yaml.safe_dump(sections.values, sort_keys=False))
    values = line.recipe.model_dump(mode="json", exclude_unset=True) | printed
    return Recipe.model_validate(values, context={"folder": line.folder})


def edited(line: Line, **sections: Any) -> Line:
    """``line`` with other sections in its recipe."""
    values = line.recipe.model_dump(mode="json", exclude_unset=True) | sections
    return build_line(Recipe.model_validate(values, context={"folder": line.folder}), load_contracts(), line.folder)


@pytest.mark.parametrize("name", LINES)
def test_every_goal_and_wish_makes_a_right_recipe(name: str) -> None:
    line = line_of(name)
    seen = situation(line)
    for goal in GOALS:
        for wish in WISHES:
            suggestion = suggest(replace(seen, goal=goal, wish=wish))
            sections = sections_of(line, suggestion)
            assert sections.remains == (), (goal, wish)
            recipe = changed(line, sections)
            assert [step.objective.type for step in recipe.training] == [s.link.objective for s in suggestion.steps]
            assert recipe.datasets.keys() == {step.data for step in recipe.training}


def test_one_stage_learns_from_pairs_of_the_base_models_answers() -> None:
    """ORPO starts from the base model: SFT, whose answers the pairs were of, is gone, and so are the merged steps."""
    line = line_of("arithmetic")
    sections = sections_of(line, suggest(situation(line, wish="one_stage")))
    pairs = changed(line, sections).datasets["preference_pairs"]
    assert (pairs.policy, pairs.with_reference, pairs.num_samples) == ("base_model", True, 4)
    assert sections.values["merge"] is None
    assert "datasets.preference_pairs has policy: base_model" in sections.changes
    assert "no step reads training_mix, calendar_mix, rl_prompts: left out of datasets" in sections.changes


def test_prompts_to_judge_answers_by_are_added_where_there_are_none() -> None:
    line = line_of("own_data")
    sections = sections_of(line, suggest(situation(line, "reasoning")))
    assert sections.values["datasets"]["rl_prompts"] == {
        "type": "prompts",
        "sources": ["invoices"],
        "validation_rows": 38,
    }


def test_examples_that_no_dataset_holds_are_mixed_by_their_number() -> None:
    tiny = line_of("tiny").recipe.model_dump(mode="json", exclude_unset=True)
    pairs = tiny["datasets"]["preference_pairs"] | {"policy": "base_model"}
    step = {"name": "orpo", "data": "pairs", "objective": {"type": "orpo"}, "update": {"type": "lora"}}
    line = edited(line_of("tiny"), datasets={"pairs": pairs}, training=[step], merge=None)
    sections = sections_of(line, suggest(situation(line)))
    mix = sections.values["datasets"]["training_mix"]
    assert mix == {"type": "mix", "weights": {"divisors": 240, "weekdays": 80}, "max_seq_len": 256}
    assert sections.remains == ()


def test_two_steps_that_learn_from_pairs_each_have_those_of_their_own_start() -> None:
    """10,000 pairs: ORPO from the base model's answers, SimPO from those after SFT."""
    line = line_of("survey")
    sections = sections_of(line, suggest(replace(situation(line), pairs=10_000)))
    recipe = changed(line, sections)
    policies = [recipe.datasets[step.data].policy for step in recipe.training if step.name != "sft"]
    assert policies == ["base_model", "sft"] and sections.remains == ()


def test_labels_of_the_policys_own_answers_are_seen() -> None:
    tiny = line_of("tiny")
    values = tiny.recipe.model_dump(mode="json", exclude_unset=True)
    datasets = values["datasets"] | {"preference_pairs": {"type": "on_policy_labels", "policy": "sft"}}
    training = [
        step | ({"objective": {"type": "kto"}} if step["name"] == "preference" else {}) for step in values["training"]
    ]
    line = edited(tiny, datasets=datasets, training=training)
    seen = situation(line)
    assert (seen.pairs, seen.labels) == (0, 48)
    recipe = changed(line, sections_of(line, suggest(seen)))
    assert [(step.objective.type, step.data) for step in recipe.training][1] == ("kto", "preference_pairs")


def test_gates_and_quantizing_of_steps_that_are_gone_are_left_out() -> None:
    gates = [
        {"name": "kept", "metric": "accuracy", "model": "gguf_model", "baseline": "base_model", "min_gain": 0.1},
        {"name": "lost", "metric": "accuracy", "model": "calendar_model", "baseline": "base_model", "min_gain": 0.1},
    ]
    line = edited(line_of("arithmetic"), evaluate={"gates": gates}, quantize={"input": "merged"})
    sections = sections_of(line, suggest(situation(line)))
    recipe = changed(line, sections)
    assert [gate.name for gate in recipe.evaluate.gates] == ["kept"] and recipe.quantize.input is None
    assert sections.remains == () and any("lost" in told for told in sections.changes)


def test_what_cannot_be_made_right_is_said() -> None:
    """A teacher is called like a proposed step."""
    line = edited(line_of("own_data"), teachers={"kto": {"random": "llama"}})
    (told,) = sections_of(line, suggest(situation(line))).remains
    assert told.startswith("teachers.kto: 'kto' is taken")


def test_a_step_without_room_for_the_lines_rows_is_told() -> None:
    line = line_of("own_data")
    seen = replace(situation(line), longest=64)
    told = sections_of(line, suggest(seen)).remains
    assert any("data.curation.max_tokens: 192" in one and "at most 64" in one for one in told)
