"""What a filter says of a row: keep, or drop with a named reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Drop:
    """Why a row is removed.

    Attributes:
        reason: the rule's name, the same for every row that it removes.
        detail: what the rule saw: a figure, the twin's id, the evaluation item.
    """

    reason: str
    detail: str = ""


Decision = Drop | None
"""None keeps the row."""

Filter = Callable[[Mapping[str, Any]], Decision]
