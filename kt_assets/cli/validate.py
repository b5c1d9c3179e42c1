"""``kt validate``: every recipe, or one, with the place and the mend of each mistake."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.console import Console

from kt_assets.cli.output import print_json, print_left_out
from kt_assets.definitions import load_lines
from kt_assets.line import Line
from kt_assets.plan.long_rows import rows_left_out
from kt_assets.sources.read_file import read_file
from kt_assets.sources.reasoning_gym import check_families
from kt_resources.bases.locate import check_template, locate
from kt_resources.errors import KtError, RecipeError
from kt_resources.recipes.base_model import BaseModelSource, HubModel, PackageModel, RandomModel
from kt_resources.recipes.data import EvalData, FileSource
from kt_resources.recipes.held_out import FileTasks
from kt_resources.recipes.loading import RECIPE
from kt_resources.verifiers.base import VerifierConfig
from kt_resources.verifiers.python import Python, load_function
from kt_resources.verifiers.weighted import Weighted

READ_ROWS = 10_000
"""Rows of each file that are read; a longer file's later mistakes are told when its asset is made."""


class Wrong(NamedTuple):
    """A line that cannot be made as it stands."""

    line: str
    file: Path
    error: str


def validate_command(name: str | None, resolved: bool, as_json: bool) -> int:
    """Exit code 1 where a recipe is broken; ``name`` is a line."""
    lines, broken = load_lines()
    if name:
        lines, broken = [line for line in lines if line.name == name], [file for file in broken if file.line == name]
        if not lines and not broken:
            raise RecipeError(f"no line is called {name!r}", mend="`kt validate` lists all")
    wrong = [Wrong(file.line, file.path, str(file.error)) for file in broken]
    wrong += [Wrong(line.name, line.folder / RECIPE, error) for line in lines if (error := _error_of(line))]
    lines = [line for line in lines if line.name not in {one.line for one in wrong}]
    if as_json:
        good = [
            {
                "line": line.name,
                "valid": True,
                "assets": list(line.stages),
                "absent": line.absent,
                "left_out": rows_left_out(line),
            }
            for line in lines
        ]
        bad = [{"line": one.line, "valid": False, "file": str(one.file), "error": one.error} for one in wrong]
        print_json(good + bad)
        return 1 if wrong else 0
    console = Console(highlight=False)
    for line in lines:
        console.print(f"[green]✓[/] {line.name}: {len(line.stages)} assets")
        for absent, reason in line.absent.items():
            console.print(f"  [dim]absent: {absent} ({reason})[/]")
        print_left_out(console, rows_left_out(line))
        if resolved:
            console.print(yaml.safe_dump(line.recipe.model_dump(mode="json"), sort_keys=False), markup=False)
    for one in wrong:
        console.print(f"✗ {one.line}: {one.error}", style="red", markup=False)
    return 1 if wrong else 0


def _error_of(line: Line) -> str | None:
    try:
        check_line(line)
    except KtError as error:
        return str(error)
    return None


def check_line(line: Line) -> None:
    """What the schema alone cannot see: what files, packages and functions hold that the recipe names.

    Raises:
        KtError: names the family, the file and its line, the model or the function.
    """
    data, base = line.recipe.data, line.recipe.base_model
    if not isinstance(base, RandomModel | HubModel):
        place = locate(base)
        if not isinstance(base, PackageModel):
            check_template(*place)
    for name, teacher in line.recipe.teachers.items():
        _check_teacher(name, teacher)
    for function in _functions(line.recipe.verifier):
        load_function(function)
    for source in data.sources:
        if source.type == "reasoning_gym":
            check_families(source.families, source.answer_style if source.purpose == "train" else None)
        else:
            _read(line, source)
    if isinstance(line.recipe.eval_tasks, FileTasks):
        _read(line, line.recipe.eval_tasks.source)
    elif isinstance(line.recipe.eval_tasks, EvalData):
        check_families(line.recipe.eval_tasks.families)
    if data.synthetic and data.synthetic.prompts.type == "reasoning_gym":
        check_families(data.synthetic.prompts.families)


def _check_teacher(name: str, source: BaseModelSource) -> None:
    if isinstance(source, RandomModel | HubModel):
        return
    try:
        locate(source)
    except RecipeError as error:
        raise RecipeError(error.what, where=f"teachers.{name}", mend=error.mend) from error


def _functions(verifier: VerifierConfig) -> Iterator[str]:
    """Where a person's own functions stand, those in parts of the verifier too."""
    if isinstance(verifier, Python):
        yield verifier.path
    if isinstance(verifier, Weighted):
        for part in verifier.parts:
            yield from _functions(part.verifier)


def _read(line: Line, source: FileSource) -> None:
    for _ in islice(read_file(line.folder / source.path, source, verifier=line.recipe.verifier), READ_ROWS):
        pass
