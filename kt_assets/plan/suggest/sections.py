"""The suggestion as sections of a line's own recipe: its steps, what they learn from, and what named other steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kt_assets.line import Line, build_line
from kt_assets.plan.glance import Sources
from kt_assets.plan.suggest.of_line import KINDS
from kt_assets.plan.suggest.settings import SuggestedStep
from kt_assets.plan.suggest.suggestion import DATASETS, Suggestion
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.datasets import Dataset, OnPolicy
from kt_resources.recipes.loading import problems_in_words
from kt_resources.recipes.recipe import Merge, Recipe


@dataclass(frozen=True)
class Sections:
    """What replaces a recipe's sections.

    Attributes:
        values: by the section's name, what stands there instead.
        changes: what differs from the recipe beside its steps, in words.
        remains: what a person has to settle before the recipe is right.
    """

    values: dict[str, Any]
    changes: tuple[str, ...]
    remains: tuple[str, ...]


def sections_of(line: Line, suggestion: Suggestion) -> Sections:
    """The sections that make a right recipe of ``line`` with the suggestion's steps; those that stay are left out."""
    recipe, steps = line.recipe, suggestion.recipe_steps()
    datasets: dict[str, dict[str, Any]] = {}
    for fields, step in zip(steps, suggestion.steps, strict=True):
        fields["data"] = _add_dataset(datasets, line, suggestion, step, fields["start"])
    changes = list(_dataset_changes(recipe, datasets))
    values: dict[str, Any] = {"datasets": datasets, "training": steps}
    for section, value, told in _of_other_steps(recipe, [step["name"] for step in steps]):
        values[section] = value
        changes.append(told)
    remains = [*_room_problems(recipe, suggestion), *_problems(line, values)]
    return Sections(values, tuple(changes), tuple(remains))


def _add_dataset(
    datasets: dict[str, dict[str, Any]], line: Line, suggestion: Suggestion, step: SuggestedStep, start: str
) -> str:
    """Put what ``step`` learns from into ``datasets``: the recipe's own of that kind, else a new one; its name.

    Answers are sampled from the model that the step starts from, so that two steps share none.
    """
    rows = step.link.rows
    there = {name: dataset for name, dataset in line.recipe.datasets.items() if KINDS[dataset.type] == rows}
    if not there:
        datasets[DATASETS[rows]] = _new(line, suggestion, step)
        return DATASETS[rows]
    free = (name for name, dataset in there.items() if name not in datasets or not isinstance(dataset, OnPolicy))
    name = next(free, None)
    if name is None:
        first = next(iter(there))
        name, there = f"{step.link.objective}_{first}", {f"{step.link.objective}_{first}": there[first]}
    datasets[name] = _fitted(there[name], start, step.room)
    return name


def _fitted(dataset: Dataset, start: str, room: int) -> dict[str, Any]:
    """The dataset as the recipe has it, its answers from ``start`` and its rows of at most ``room`` tokens."""
    values = {"type": dataset.type, **dataset.model_dump(mode="json", exclude_unset=True)}
    if isinstance(dataset, OnPolicy) and dataset.policy != start:
        values["policy"] = start
        if start == BASE:  # which may never be right
            values["with_reference"] = True
    elif dataset.type == "mix" and dataset.max_seq_len > room:
        values["max_seq_len"] = room
    return values


def _new(line: Line, suggestion: Suggestion, step: SuggestedStep) -> dict[str, Any]:
    """A dataset of a kind that the recipe has none of: all its rows to learn from, or prompts to answer."""
    recipe, situation = line.recipe, suggestion.situation
    if step.link.rows == "examples":
        sources = Sources(recipe.data, line.folder)
        weights = {name: float(sources.num_rows(name)) for name in sources.names("train")}
        return {"type": "mix", "weights": weights, "max_seq_len": min(step.room, situation.longest)}
    named = {} if recipe.sources_for("rl") else {"sources": list(recipe.sources_for("train"))}
    return {"type": "prompts", **named, "validation_rows": max(4, situation.rl_prompts // 10)}


def _dataset_changes(recipe: Recipe, datasets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for name, values in datasets.items():
        old = recipe.datasets.get(name)
        before = {} if old is None else old.model_dump(mode="json", exclude_unset=True)
        differ = [f"{key}: {value}" for key, value in values.items() if before.get(key) != value]
        if differ:
            found.append(f"datasets.{name} {'is new' if old is None else 'has'} {', '.join(differ)}")
    unread = [name for name in recipe.datasets if name not in datasets]
    return found + ([f"no step reads {', '.join(unread)}: left out of datasets"] if unread else [])


def _of_other_steps(recipe: Recipe, names: list[str]) -> list[tuple[str, Any, str]]:
    """(section, what stands there instead, why) of all that names steps which are gone."""
    found: list[tuple[str, Any, str]] = []
    gone = {text for step in recipe.training if step.name not in names for text in (step.name, step.asset)}
    if recipe.merge and not _can_merge(recipe.merge, names):
        found.append(("merge", None, f"nothing is merged: the chain has no branches {', '.join(recipe.merge.inputs)}"))
        gone |= {"merged", "merged_model"}
    if recipe.quantize.input in gone:
        quantize = recipe.quantize.model_dump(mode="json", exclude_unset=True, exclude={"input"})
        found.append(("quantize", quantize, f"the last step is quantized, as {recipe.quantize.input} is gone"))
    lost = [gate.name for gate in recipe.evaluate.gates if {gate.model, gate.baseline} & gone]
    if lost:
        evaluate = recipe.evaluate.model_dump(mode="json", exclude_unset=True)
        evaluate["gates"] = [gate for gate in evaluate["gates"] if gate["name"] not in lost]
        found.append(("evaluate", evaluate, f"gates on models that are gone are left out: {', '.join(lost)}"))
    return found


def _can_merge(merge: Merge, names: list[str]) -> bool:
    """Whether inputs and their ancestor are steps of the chain, the ancestor first."""
    order = [BASE, *names]
    known = {merge.base, *merge.inputs} <= set(order)
    return known and all(order.index(merge.base) < order.index(name) for name in merge.inputs)


def _room_problems(recipe: Recipe, suggestion: Suggestion) -> list[str]:
    """Rows that would stop a step: but for mixes, only curation bounds their length."""
    most = recipe.data.curation.max_tokens
    return [
        f"data.curation.max_tokens: {most} lets rows through for which {step.link.objective} has no room; "
        f"at most {step.room}"
        for step in suggestion.steps
        if step.link.rows != "examples" and step.room < most
    ]


def _problems(line: Line, sections: dict[str, Any]) -> list[str]:
    """What is wrong with the line's recipe once these sections stand in it, and steps that would be absent."""
    values = line.recipe.model_dump(mode="json", exclude_unset=True) | sections
    try:
        recipe = Recipe.model_validate(values, context={"folder": line.folder})
    except ValidationError as error:
        return problems_in_words(error)
    absent = build_line(recipe, line.contracts, line.folder).absent
    return [f"{step.asset} is absent: {absent[step.asset]}" for step in recipe.training if step.asset in absent]
