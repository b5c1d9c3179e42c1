"""Find a line by name, for every command."""

from kt_assets.definitions import load_lines
from kt_assets.line import Line
from kt_resources.errors import RecipeError

DEFAULT_LINE = "arithmetic"


def find_line(name: str | None) -> Line:
    """The line ``name``, or the default one.

    Raises:
        RecipeError: there is no such line, or its recipe is broken (then the recipe's own error).
    """
    wanted = name or DEFAULT_LINE
    lines, broken = load_lines()
    for file in broken:
        if file.line == wanted and file.error:
            raise file.error
    for line in lines:
        if line.name == wanted:
            return line
    there = ", ".join(line.name for line in lines)
    raise RecipeError(
        f"no line is called {wanted!r}", mend=f"there are: {there}; KT_RECIPES names a folder of your own"
    )
