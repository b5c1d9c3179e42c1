"""``kt init``: look at the files, choose, write, check as ``kt validate`` does, and say what was chosen and why."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from kt_assets.cli.init.draft import EMBEDDED, VERIFIERS, Draft, draft_recipe
from kt_assets.cli.init.write import write_recipe
from kt_assets.cli.output import print_json, print_left_out
from kt_assets.definitions import load_lines, own_recipes
from kt_assets.plan.base_shape import source_context
from kt_assets.plan.long_rows import rows_left_out
from kt_assets.sources.look import Seen, look_at
from kt_resources.errors import RecipeError
from kt_resources.recipes.base_model import BaseModelSource
from kt_resources.recipes.loading import RECIPE

NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Told:
    """What a person said; None where they said nothing.

    Attributes:
        verifier: a type, or ``rewards.py:score``.
        base: a checkpoint folder, a ``.gguf`` file, ``name/model@commit`` of the hub, ``smollm2`` or ``random``.
        to: the folder of recipes.
    """

    line: str | None
    files: tuple[Path, ...]
    base: str | None
    verifier: str | None
    goal: str | None
    license: str | None
    to: Path | None
    force: bool


def init_command(told: Told, as_json: bool) -> int:
    """Write a recipe for the files; exit code 0. What is not told is asked for on a terminal, else chosen."""
    asks = sys.stdin.isatty() and not as_json
    files = told.files or (_ask_for_files() if asks else ())
    if not files:
        named = told.line if told.line and Path(told.line).suffix else "rows.jsonl"
        raise RecipeError("there is no file to begin with", where="--file", mend=f"kt init --file {named}")
    seen = [look_at(path) for path in files]
    line = told.line or (typer.prompt("Name of the line", default=seen[0].name) if asks else seen[0].name)
    to = told.to or own_recipes()
    check_name(line, to, told.force)
    folder = to / line
    verifier, base, goal = told.verifier, told.base, told.goal
    if asks:
        _show_files(seen)
        verifier = verifier or _ask_for_verifier(seen)
        base = base or typer.prompt("Base model (folder, .gguf, NAME/MODEL@COMMIT, smollm2, random)", default="smollm2")
        goal = goal if goal is not None else typer.prompt("What is it to do, in a sentence", default="")
    chosen = None if verifier is None or verifier == "auto" else verifier_of(verifier, folder)
    model = base_of(base or "smollm2", folder)
    extra = {"goal": goal, "license": told.license, "context": source_context(source_of(model, folder))}
    draft = draft_recipe(line, seen, model, chosen, extra)
    left_out = rows_left_out(write_recipe(draft, folder, told.force))
    _tell(draft, folder / RECIPE, left_out, as_json)
    return 0


def check_name(line: str, to: Path, force: bool) -> None:
    if not NAME.fullmatch(line):
        mend = "small letters, digits and _, a letter first"
        raise RecipeError(f"{line!r} cannot name a line", where="LINE", mend=mend)
    path = to / line / "recipe.yaml"
    if path.exists() and not force:
        raise RecipeError("there is a recipe already", where=str(path), mend="give another name, or --force")
    elsewhere = [known.folder for known in load_lines()[0] if known.name == line]
    if elsewhere and elsewhere[0].resolve() != path.parent.resolve():
        raise RecipeError(f"there is a line {line!r} already", where=str(elsewhere[0]), mend="give another name")


def base_of(told: str, folder: Path) -> dict[str, Any]:
    """The recipe's ``base_model``; paths count from the recipe's ``folder``.

    Raises:
        RecipeError: it looks like a model of the hub, whose commit is missing.
    """
    if told == "smollm2":
        return EMBEDDED
    if told == "random":
        return {"random": "llama"}
    if found := re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", told):
        return {"hub": found[1], "revision": found[2]}
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@.*)?", told) and not Path(told).exists() and not told.endswith(".gguf"):
        what = f"there is no folder {told!r}, and a model of the hub is named with its commit"
        raise RecipeError(what, where="--base", mend=f"{told.partition('@')[0]}@<40 hex digits>, or correct the folder")
    kind = "gguf" if told.endswith(".gguf") else "folder"
    return {kind: os.path.relpath(told, folder)}


def source_of(base: Mapping[str, Any], folder: Path) -> BaseModelSource:
    """A recipe's ``base_model`` as its schema has it; paths count from ``folder``."""
    from pydantic import TypeAdapter

    source: BaseModelSource = TypeAdapter(BaseModelSource).validate_python(dict(base), context={"folder": folder})
    return source


def verifier_of(told: str, folder: Path) -> dict[str, Any]:
    """The recipe's ``verifier``; a function's path counts from the recipe's ``folder``."""
    file, found, function = told.rpartition(":")
    if found:
        return {"type": "python", "path": f"{os.path.relpath(file, folder)}:{function}"}
    known = ("exact", "numeric", "math", "json_schema", "none")
    if told not in known:
        mend = f"one of {', '.join(known)}, auto, or a function of yours as rewards.py:score"
        raise RecipeError(f"{told!r} is no verifier", where="--verifier", mend=mend)
    return {"type": told}


def _ask_for_files() -> tuple[Path, ...]:
    answer = typer.prompt("Files of rows (.jsonl, .json, .csv, .parquet), separated by commas")
    return tuple(Path(part.strip()).expanduser() for part in answer.split(",") if part.strip())


def _ask_for_verifier(seen: Sequence[Seen]) -> str:
    kinds = {one.answers for one in seen if one.kind in ("examples", "prompts")}
    kind = kinds.pop() if len(kinds) == 1 else "text"
    suggested = f"auto: {VERIFIERS[kind][0]['type']}, as {VERIFIERS[kind][1]}" if kind in VERIFIERS else "auto: none"
    print(f"What tells a right answer? {suggested}")
    return str(typer.prompt("exact, numeric, math, json_schema, rewards.py:score, none, or auto", default="auto"))


def _show_files(seen: Sequence[Seen]) -> None:
    for one in seen:
        bad = f", {one.num_bad} cannot be used (the first: {one.first_bad})" if one.num_bad else ""
        answers = "" if one.answers == "none" else f", answers: {one.answers}"
        print(f"{one.path}: {one.num_rows} {one.kind}, {one.num_prompts} distinct prompts{answers}{bad}")


def _tell(draft: Draft, path: Path, left_out: Sequence[str], as_json: bool) -> None:
    elsewhere = path.parent.parent.resolve() != own_recipes()
    run = [f"export KT_RECIPES={path.parent.parent.resolve()}"] if elsewhere else []
    run += [f"kt validate {draft.line}", f"kt run {draft.line}"]
    if as_json:
        files = [{**asdict(seen), "source": name} for name, seen in draft.rows.items()]
        chosen = [asdict(reason) for reason in draft.reasons]
        steps = [step["name"] for step in draft.steps]
        told = {"line": draft.line, "recipe": str(path), "files": files, "verifier": draft.verifier, "steps": steps}
        print_json(told | {"chosen": chosen, "left_out": left_out, "next": run})
        return
    _show_files(list(draft.rows.values()))
    console = Console(highlight=False)
    for reason in draft.reasons:
        console.print(f"  [bold]{reason.what}[/]: ", end="")
        console.print(reason.why, markup=False)
    print_left_out(console, left_out)
    console.print(f"[green]✓[/] {path}")
    for command in run:
        console.print(f"  {command}", style="dim", markup=False)
