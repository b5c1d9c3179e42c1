"""``kt validate``: every recipe, or one, with the place and the mend of each mistake."""

import yaml
from rich.console import Console

from kt_assets.cli.output import print_json
from kt_assets.definitions import load_lines
from kt_resources.errors import RecipeError


def validate_command(name: str | None, resolved: bool, as_json: bool) -> int:
    """Exit code 1 where a recipe is broken; ``name`` is a line, or a path to a recipe file."""
    lines, broken = load_lines()
    if name:
        lines, broken = [line for line in lines if line.name == name], [file for file in broken if file.line == name]
        if not lines and not broken:
            raise RecipeError(f"no line is called {name!r}", mend="`kt validate` lists all")
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
