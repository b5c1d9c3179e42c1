"""``kt validate``: every recipe, or one, with the place and the mend of each mistake."""

import yaml
from rich.console import Console

from kt_assets.cli.output import print_json
from kt_assets.definitions import load_lines
from kt_assets.line import Line
from kt_assets.sources.reasoning_gym import check_families
from kt_resources.errors import DataError, RecipeError


def validate_command(name: str | None, resolved: bool, as_json: bool) -> int:
    """Exit code 1 where a recipe is broken; ``name`` is a line, or a path to a recipe file."""
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
    """What the schema alone cannot see: families of generated tasks that there are not, files that are missing.

    Raises:
        DataError: names the family or the file.
    """
    data = line.recipe.data
    for source in data.sources:
        if source.type == "reasoning_gym":
            check_families(source.families, source.answer_style if source.purpose == "train" else None)
        elif not (line.folder / source.path).is_file():
            raise DataError("there is no such file", where=str(line.folder / source.path), mend="correct `path`")
    check_families(line.recipe.eval_tasks.families)
    if data.synthetic and data.synthetic.prompts.type == "reasoning_gym":
        check_families(data.synthetic.prompts.families)
