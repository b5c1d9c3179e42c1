"""Paths in a recipe count from the recipe's own folder, wherever the command is started."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def from_recipe(path: Path, info: ValidationInfo) -> Path:
    """``path`` counted from the folder of the recipe that is being loaded; as it is where none is."""
    folder = (info.context or {}).get("folder")
    return (folder.resolve() / path) if folder else path


RecipePath = Annotated[Path, AfterValidator(from_recipe)]
