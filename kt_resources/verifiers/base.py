"""What every verifier shares: the marker before the answer, the range of a score, the place of a row."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from kt_resources.errors import GenerationError
from kt_resources.strict import Strict

Row = Mapping[str, Any]
Score = Callable[[str, Row], float]
"""``(text, row) -> score in [0, 1]``."""

MAX_ANSWER_CHARS = 100_000
"""A longer answer scores 0 unread: no scorer's parser may be kept busy by endless output."""


class VerifierConfig(Strict, ABC):
    """The recipe-facing options of a verifier.

    Attributes:
        answer_marker: the answer is what follows its last occurrence, and a completion without it scores 0; None
            takes the whole completion for the answer.
    """

    type: str
    answer_marker: str | None = Field(default="####", min_length=1)

    @property
    def truths(self) -> tuple[str, ...]:
        """The columns that every row must bring for its answers to be scored."""
        return ()

    @property
    def reference_marker(self) -> str | None:
        """The marker behind which a row's own completion holds its ``answer``; None where all of it is the answer."""
        return self.answer_marker

    @abstractmethod
    def scorer(self) -> Score:
        """The function that scores an extracted answer; libraries are imported here."""


def extract_answer(completion: str, marker: str | None) -> str | None:
    """What follows the last ``marker``, trimmed; None where there is no marker; all of it where ``marker`` is None."""
    if marker is None:
        return completion.strip()
    _, found, answer = completion.rpartition(marker)
    return answer.strip() if found else None


def reference_answer(row: Row, marker: str | None) -> str | None:
    """The ground truth of a row: its ``answer``, else what the marker finds in its own completion (a right one)."""
    if row.get("answer") or row.get("completion") is None or row.get("label") is False:
        return row.get("answer")
    return extract_answer(row["completion"], marker) or None


def place_of(row: Row) -> str:
    """How a message names a row: its id and where it came from."""
    return f"row {row.get('id', '?')} ({row.get('origin', 'origin unknown')})"


def column(row: Row, name: str) -> str:
    """The text in column ``name`` of ``row``; GenerationError where the row has none."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        mend = f"give every row a ground truth in '{name}', or choose a verifier that needs none"
        raise GenerationError(f"the verifier needs '{name}', and this row has none", where=place_of(row), mend=mend)
    return value


def with_marker(score: Score, marker: str | None) -> Score:
    """``score`` behind the marker: missing, empty and endless answers score 0 without being read."""

    def verify(completion: str, row: Row) -> float:
        answer = extract_answer(completion, marker)
        if not answer or len(answer) > MAX_ANSWER_CHARS:
            return 0.0
        return score(answer, row)

    return verify


def checked(value: Any, where: str) -> float:
    """``value`` as a score; GenerationError where it is no number in [0, 1]."""
    mend = "return a number from 0 (wrong) to 1 (right)"
    if not isinstance(value, int | float):
        raise GenerationError(f"the score is no number but {type(value).__name__}: {value!r}", where=where, mend=mend)
    if not math.isfinite(value) or not 0.0 <= value <= 1.0:
        raise GenerationError(f"the score {value} is not between 0 and 1", where=where, mend=mend)
    return float(value)
