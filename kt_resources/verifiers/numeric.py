"""The answer is the right number."""

import math
import re
from decimal import Decimal
from typing import Literal

from pydantic import Field

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Row, Score, VerifierConfig, column, place_of

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)


class Numeric(VerifierConfig):
    """Score 1 where the answer is the number in the row's ``answer``.

    Attributes:
        absolute: tolerated absolute difference.
        relative: tolerated difference relative to the ground truth.

    Commas between thousands, a leading ``$`` and a trailing full stop or ``%`` are tolerated; words are not.
    """

    type: Literal["numeric"]
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0)

    @property
    def truth(self) -> str | None:
        return "answer"

    def scorer(self) -> Score:
        def score(answer: str, row: Row) -> float:
            truth = parse_number(column(row, "answer"))
            if truth is None:
                raise GenerationError(f"its answer {row['answer']!r} is no number", where=place_of(row))
            given = parse_number(answer)
            return float(given is not None and self._close(given, truth))

        return score

    def _close(self, given: Decimal, truth: Decimal) -> bool:
        if given == truth:
            return True
        return math.isclose(given, truth, rel_tol=0.0, abs_tol=max(self.absolute, self.relative * abs(float(truth))))


def parse_number(text: str) -> Decimal | None:
    """The number that ``text`` is, or None where it is anything else. ``"$1,234.50"`` is 1234.50."""
    bare = text.strip().removeprefix("$").removesuffix("%").removesuffix(".").replace(",", "").replace("−", "-").strip()
    return Decimal(bare) if NUMBER.fullmatch(bare) else None
