"""``kt validate``: every recipe, or one, with the place and the mend of each mistake."""

from itertools import islice

import yaml
from rich.console import Console

from kt_assets.cli.output import print_json
from kt_assets.definitions import load_lines
from kt_assets.line import Line
from kt_assets.sources.read_file import read_file
from kt_assets.sources.reasoning_gym import check_families
from kt_resources.bases.locate import check_template, locate
from kt_resources.errors import RecipeError
from kt_resources.recipes.base_model import HubModel, PackageModel, RandomModel
from kt_resources.recipes.data import EvalData, FileSource
from kt_resources.recipes.held_out import FileTasks
from kt_resources.verifiers.python import load_function

READ_ROWS = 10_000
"""Rows of each file that are read; a longer file's later mistakes are told when its asset is made."""


def validate_command(name: str | None, resolved: bool, as_json: bool) -> int:
    """Exit code 1 where a recipe is broken; ``name`` is a line."""
    lines, broken = load_lines()
    if name:
        lines, broken = [line for line in lines if line.name == name], [file for file in broken if file.line == name]
        if not lines and not broken:
            raise RecipeError(f"no line is called {name!r}", mend="`kt validate` lists all")
    for line in lines:
        check_line(line)
    if as_json:
        good = [
            {"line": line.name, "valid": True, "assets": list(line.stages), "absent": line.absent} for line in lines
        ]
        bad = [{"line": file.line, "valid": False, "file": str(file.path), "error": str(file.error)} for file in broken]
        print_json(good + bad)
        return 1 if broken else 0
    console = Console(highlight=False)
    for line in lines:
        console.print(f"[green]✓[/] {line.name}: {len(line.stages)} assets")
        for absent, reason in line.absent.items():
            console.print(f"  [dim]absent: {absent} ({reason})[/]")
        if resolved:
            console.print(yaml.safe_dump(line.recipe.model_dump(mode="json"), sort_keys=False), markup=False)
    for file in broken:
        console.print(f"✗ {file.line}: {file.error}", style="red", markup=False)
    return 1 if broken else 0


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
    if line.recipe.verifier.type == "python":
        load_function(line.recipe.verifier.path)
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


def _read(line: Line, source: FileSource) -> None:
    for _ in islice(read_file(line.folder / source.path, source, verifier=line.recipe.verifier), READ_ROWS):
        pass
