"""``kt plan LINE --suggest``: a chain of steps for a line's rows, device and goal, each choice with its reason."""

from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from rich.console import Console

from kt_assets.cli.lines import find_line
from kt_assets.cli.output import print_json
from kt_assets.plan.base_shape import base_shape
from kt_assets.plan.suggest.of_line import line_situation
from kt_assets.plan.suggest.sections import Sections, sections_of
from kt_assets.plan.suggest.situation import GOALS, WISHES, Choice
from kt_assets.plan.suggest.suggestion import Suggestion, suggest
from kt_resources.compute.catalog import named_device
from kt_resources.compute.devices import find_devices
from kt_resources.errors import RecipeError
from kt_resources.home import ensure_home
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.loading import RECIPE
from kt_resources.store.store import Store

T = TypeVar("T")


def suggest_command(
    name: str | None, device: str | None, model: str | None, goal: str, wish: str, as_json: bool
) -> int:
    """Print the chain, why, and the sections of the recipe that make it so; exit code 0.

    Raises:
        RecipeError: an unknown goal or wish, or nothing to learn from.
        ComputeError: no settings of the model fit the device.
    """
    line, store = find_line(name), Store(ensure_home().store)
    shape = base_shape(line.stages[BASE], line.recipe.base_model, store, model)
    where = named_device(device) if device else find_devices()[0]
    chosen = one_of(goal, GOALS, "--goal"), one_of(wish, WISHES, "--wish")
    suggestion = suggest(line_situation(line, shape, where, *chosen))
    sections, console = sections_of(line, suggestion), Console(highlight=False)
    if as_json:
        print_json(suggestion_json(suggestion, sections.values["training"]) | _told(sections))
        return 0
    print_suggestion(console, suggestion, sections.values)
    console.print(f"These stand in place of the sections of their names in {line.folder / RECIPE}:", markup=False)
    for told in sections.changes:
        console.print(f"  {told}", markup=False)
    for told in sections.remains:
        console.print(f"  ! for you to settle: {told}", style="yellow", markup=False)
    return 0


def _told(sections: Sections) -> dict[str, Any]:
    return {"sections": sections.values, "changes": sections.changes, "remains": sections.remains}


def one_of(told: str, allowed: tuple[T, ...], option: str) -> T:
    """``told`` as one of the allowed words; RecipeError names ``option`` and lists them."""
    for value in allowed:
        if value == told:
            return value
    named = ", ".join(map(str, allowed))
    raise RecipeError(f"{told!r} is none of {named}", where=option, mend="name one of them")


def suggestion_json(suggestion: Suggestion, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Chain, steps and every reason as JSON values."""
    told = [
        {**fields, "memory_gb": round(step.memory_gb, 2), "choices": [vars(choice) for choice in step.choices]}
        for fields, step in zip(steps, suggestion.steps, strict=True)
    ]
    return {"chain": [vars(choice) for choice in suggestion.chain], "steps": told}


def print_suggestion(console: Console, suggestion: Suggestion, sections: Mapping[str, Any]) -> None:
    """A line a choice, step by step: what, of which value, why, by whose rule; then the recipe's sections."""
    for choice in suggestion.chain:
        _print_choice(console, choice)
    for step in suggestion.steps:
        console.print(f"\n[bold]{step.link.objective}[/]")
        for choice in step.choices:
            _print_choice(console, choice)
    console.print("\n[bold]For the recipe[/]")
    console.print(
        yaml.safe_dump(dict(sections), sort_keys=False, default_flow_style=None), markup=False, soft_wrap=True
    )


def _print_choice(console: Console, choice: Choice) -> None:
    console.print(f"  [bold]{choice.what}[/] {choice.value}: {choice.why} ", end="")
    console.print(f"({choice.source})", style="dim", markup=False)
