"""Read a recipe: YAML with positions becomes a Recipe, or an error that names file and line."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kt_resources.errors import RecipeError
from kt_resources.recipes.fields import fields_at
from kt_resources.recipes.problems import Problem, RecipeProblems
from kt_resources.recipes.recipe import Recipe

RECIPE = "recipe.yaml"
SHOWN = 6
"""Problems of one recipe that are told at once."""


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as found: parsed, or with the error that keeps its line out."""

    path: Path
    recipe: Recipe | None
    error: RecipeError | None = None

    @property
    def line(self) -> str:
        """The line's name: the recipe's own, or its folder's where it could not be read."""
        return self.recipe.line if self.recipe else self.path.parent.name.replace("-", "_").lower()


def load_recipe(path: Path) -> Recipe:
    """Parse the recipe at ``path``.

    Relative paths in it are read from the recipe's own folder.

    Raises:
        RecipeError: no such file, not YAML, or not a recipe; it names file:line, what was given and what is allowed.
    """
    from dagster_shared.yaml_utils import try_parse_yaml_with_source_position

    try:
        text = path.read_text(encoding="utf-8")
        parsed = try_parse_yaml_with_source_position(text, str(path))
    except OSError as error:
        raise RecipeError(
            "no such recipe", where=str(path), mend="`kt validate` lists the recipes there are"
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError("is not UTF-8 text", where=str(path), mend="save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(
            f"is not YAML: {getattr(error, 'problem', error)}", where=place, mend="mend the line"
        ) from error
    if parsed is None or not isinstance(parsed.value, dict):
        what = "is no mapping" if parsed is not None and parsed.value else "is empty"
        raise RecipeError(what, where=str(path), mend="begin with `line:` and `base_model:`")
    try:
        return Recipe.model_validate(parsed.value, context={"folder": path.parent})
    except ValidationError as error:
        raise _mistake(path, error, parsed.source_position_tree) from error


def find_recipes(folders: Sequence[Path]) -> list[RecipeFile]:
    """Every ``*/recipe.yaml``, folder by folder, in order of name; a broken one carries its error."""
    found: dict[str, RecipeFile] = {}
    for path in [path for folder in folders for path in sorted(folder.glob(f"*/{RECIPE}"))]:
        try:
            file = RecipeFile(path, load_recipe(path))
        except RecipeError as error:
            file = RecipeFile(path, None, error)
        if file.line in found:
            twin = RecipeError(
                f"line {file.line!r} is also made by {found[file.line].path}",
                where=str(path),
                mend="rename one `line:`",
            )
            file = RecipeFile(path, None, twin)
            found[f"{path.parent.name}_again"] = file
        else:
            found[file.line] = file
    return list(found.values())


def _mistake(path: Path, error: ValidationError, tree: Any) -> RecipeError:
    """The first few problems, each with its line, and how many more there are."""
    problems, told = _problems(error), []
    for problem, absent in problems[:SHOWN]:
        shown, position = _closest(tree, problem.path, absent)
        line = position.start.line if position else 1
        told.append((line, ".".join(map(str, shown)) or "recipe", problem.words))
    first = told[0]
    more = "".join(f"\n  {path}:{line}: {field}: {words}" for line, field, words in told[1:])
    more += f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return RecipeError(
        f"{first[1]}: {first[2]}{more}", where=f"{path}:{first[0]}", mend="correct it and run `kt validate` again"
    )


def problems_in_words(error: ValidationError) -> list[str]:
    """Every problem of a recipe that stands in no file: its place in the recipe, and what is wrong."""
    return [f"{'.'.join(map(str, problem.path))}: {problem.words}" for problem, _ in _problems(error)]


def _problems(error: ValidationError) -> list[tuple[Problem, bool]]:
    """Every problem, and whether it may be of a field that the file does not have.

    Those that a recipe found in its own references are told one by one; a list that only lacks an item because that
    item is refused is not told.
    """
    found: list[tuple[Problem, bool]] = []
    errors = error.errors()
    for problem in errors:
        if _follows(problem, [other["loc"] for other in errors]):
            continue
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, RecipeProblems):
            found += [(one, True) for one in cause.problems]
        else:
            found.append((Problem(tuple(problem["loc"]), _in_words(problem)), problem["type"] == "missing"))
    return found


def _follows(problem: Any, places: Sequence[tuple[str | int, ...]]) -> bool:
    """Whether a list is told to be too short though enough items were given, some of which are refused themselves."""
    place, items = problem["loc"], problem.get("input")
    if problem["type"] != "too_short" or not isinstance(items, list | tuple | dict):
        return False
    inside = any(len(other) > len(place) and other[: len(place)] == place for other in places)
    return inside and len(items) >= problem["ctx"]["min_length"]


def _closest(tree: Any, keys: Sequence[Any], absent: bool) -> tuple[list[Any], Any]:
    """The path as it stands in the file, without the union tags that pydantic puts in, and its position.

    Where the field may be ``absent``, a last key that is not in the file stays: it is what the field is called.
    """
    node, parent, seen = tree, None, []
    for index, key in enumerate(keys):
        if key in node.children:
            node, parent = node.children[key], node
            seen.append(key)
        elif parent is not None and key in parent.children:  # the last one was a tag that is called like a key
            node, seen[-1] = parent.children[key], key
        elif absent and index == len(keys) - 1:
            seen.append(key)
    return seen, node.position


WORDS = {
    "tuple_type": "a list is wanted, as in [one, two]",
    "dict_type": "a mapping is wanted, as in {key: value}",
    "model_type": "a mapping is wanted, as in {key: value}",
    "model_attributes_type": "a mapping is wanted, as in {key: value}",
}
"""For kinds of problems that pydantic tells in Python's words."""


def _in_words(problem: Any) -> str:
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return _unknown_key(problem["loc"])
    if kind == "missing":
        return "is required"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        hint = _did_you_mean(str(context["tag"]), context["expected_tags"].replace("'", "").split(", "))
        return f"{context['tag']!r} is none of {context['expected_tags']}{hint}"
    message = WORDS.get(kind) or problem["msg"].removeprefix("Value error, ").removesuffix(" after validation")
    shown = f" (given {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    return message[0].lower() + message[1:] + shown


def _unknown_key(path: Sequence[str | int]) -> str:
    allowed = fields_at(Recipe, path[:-1])
    return f"no such key{_did_you_mean(str(path[-1]), allowed)}; there are {', '.join(allowed)}"


def _did_you_mean(given: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(given, allowed, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
