"""``kt plan --suggest``: files, device and goal become a chain of steps, each choice with its reason, and a recipe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from kt_assets.cli.init.command import base_of, check_name, source_of, verifier_of
from kt_assets.cli.init.draft import Draft, Reason, draft_recipe
from kt_assets.cli.init.write import write_recipe
from kt_assets.cli.output import print_json, print_left_out
from kt_assets.cli.suggest import one_of, print_suggestion, suggestion_json
from kt_assets.definitions import own_recipes
from kt_assets.plan.base_shape import source_context, source_shape
from kt_assets.plan.long_rows import rows_left_out
from kt_assets.plan.suggest.situation import GOALS, WISHES, Situation
from kt_assets.plan.suggest.suggestion import Suggestion, suggest
from kt_assets.sources.look import Seen, look_at
from kt_resources.compute.catalog import named_device
from kt_resources.compute.devices import Device, find_devices
from kt_resources.compute.memory.shape import ModelShape, published
from kt_resources.errors import RecipeError
from kt_resources.recipes.loading import RECIPE


@dataclass(frozen=True)
class Asked:
    """What a person said.

    Attributes:
        model: a published size that stands in for the base model in the plan.
        base, verifier, to, force: as ``kt init`` takes them.
    """

    line: str | None
    files: tuple[Path, ...]
    device: str | None
    model: str | None
    goal: str
    wish: str
    base: str | None
    verifier: str | None
    to: Path | None
    force: bool


def suggest_files_command(asked: Asked, as_json: bool) -> int:
    """Look at the files, propose, write the recipe; exit code 0."""
    if not asked.files:
        raise RecipeError("there is no file to begin with", where="--file", mend="kt plan --suggest --file rows.jsonl")
    seen = [look_at(path) for path in asked.files]
    line, to = asked.line or seen[0].name, asked.to or own_recipes()
    check_name(line, to, asked.force)
    folder = to / line
    verifier = None if asked.verifier in (None, "auto") else verifier_of(str(asked.verifier), folder)
    base = base_of(asked.base or "smollm2", folder)
    draft = draft_recipe(line, seen, base, verifier, {"context": source_context(source_of(base, folder))})
    suggestion = suggest(situation_of(asked, draft, seen, folder))
    left_out = rows_left_out(write_recipe(with_steps(draft, suggestion), folder, asked.force))
    path = folder / RECIPE
    if as_json:
        told = {"line": line, "recipe": str(path), "left_out": left_out}
        print_json(suggestion_json(suggestion, suggestion.recipe_steps()) | told)
    else:
        print_suggestion(Console(highlight=False), suggestion, {"training": suggestion.recipe_steps()})
        print_left_out(Console(highlight=False), left_out)
        Console(highlight=False).print(f"[green]✓[/] {path}")
    return 0


def situation_of(asked: Asked, draft: Draft, seen: list[Seen], folder: Path) -> Situation:
    """The situation that the files, the device and the goal make.

    Raises:
        RecipeError: an unknown goal or wish.
    """
    count = {kind: sum(one.num_rows for one in seen if one.kind == kind) for kind in KINDS}
    return Situation(
        shape=_shape(asked, draft, folder),
        device=_device(asked.device),
        **count,
        distinct=draft.judged_prompts,
        verifiable=draft.verifier["type"] != "none",
        longest=draft.max_tokens,
        mean=draft.max_tokens / 2,
        answer_tokens=draft.max_new_tokens,
        goal=one_of(asked.goal, GOALS, "--goal"),
        wish=one_of(asked.wish, WISHES, "--wish"),
    )


KINDS = ("examples", "pairs", "labels", "prompts")


def _device(name: str | None) -> Device:
    return named_device(name) if name else find_devices()[0]


def _shape(asked: Asked, draft: Draft, folder: Path) -> ModelShape:
    """Of the published size, or of the draft's base model."""
    if asked.model:
        return published(asked.model)
    return source_shape(source_of(draft.base, folder))


def with_steps(draft: Draft, suggestion: Suggestion) -> Draft:
    """``draft`` with the suggestion's steps and reasons, and the datasets that they learn from.

    No row may be longer than every step has room for.
    """
    steps = suggestion.recipe_steps()
    draft = replace(draft, most_tokens=min(draft.most_tokens, suggestion.room))
    used = {step["data"] for step in steps}
    kept = [reason for reason in draft.reasons if reason.what == "verifier"]
    return replace(
        draft,
        steps=steps,
        datasets={name: _within(dataset, draft.max_tokens) for name, dataset in draft.datasets.items() if name in used},
        reasons=[*kept, *(Reason(step["name"], _why(suggestion, index)) for index, step in enumerate(steps))],
    )


def _within(dataset: dict[str, Any], limit: int) -> dict[str, Any]:
    """``dataset`` with rows of at most ``limit`` tokens, where it has a limit of its own."""
    return {name: limit if name == "max_seq_len" else value for name, value in dataset.items()}


def _why(suggestion: Suggestion, index: int) -> str:
    """A step's comment in the recipe: why it is there, by whose rule."""
    objective = suggestion.steps[index].link.objective
    choice = next((c for c in suggestion.chain if objective in c.value), suggestion.chain[0])
    return f"{choice.why} ({choice.source})"
