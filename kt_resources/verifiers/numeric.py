"""The answer is the right number."""

import re
from decimal import Decimal, localcontext
from typing import Literal

from pydantic import Field

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Row, Score, VerifierConfig, column, place_of

NUMBER = re.compile(
    r"(?P<sign>[-+−]?)(\$\s*)?(?P<turned>[-+−]?)(?P<digits>(\d{1,3}(,\d{3})+|\d+)(\.\d*)?|\.\d+)(?P<power>e[+-]?\d{1,3})?",
    re.IGNORECASE,
)
MAX_CHARS = 1_000
EXACT = 5_000
"""Digits that hold the difference of any two numbers of 1,000 digits and an exponent of at most 999."""


class Numeric(VerifierConfig):
    """Score 1 where the answer is the number in the row's ``answer``.

    Attributes:
        absolute: tolerated absolute difference.
        relative: tolerated difference relative to the ground truth.

    Numbers are compared as they are written, digit by digit. Commas between thousands, a ``$`` before or after the sign
    and a trailing full stop or ``%`` are tolerated; words, and more than 1,000 characters, are not.
    """

    type: Literal["numeric"]
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0)

    @property
    def truths(self) -> tuple[str, ...]:
        return ("answer",)

    def scorer(self) -> Score:
        def score(answer: str, row: Row) -> float:
            truth = parse_number(column(row, "answer"))
            if truth is None:
                raise GenerationError(f"its answer {row['answer']!r} is no number", where=place_of(row))
            given = parse_number(answer)
            return float(given is not None and self._close(given, truth))

        return score

    def _close(self, given: Decimal, truth: Decimal) -> bool:
        with localcontext(prec=EXACT):
            tolerated = max(Decimal(str(self.absolute)), Decimal(str(self.relative)) * abs(truth))
            return abs(given - truth) <= tolerated


def parse_number(text: str) -> Decimal | None:
    """The number that ``text`` is, or None where it is anything else.

    >>> parse_number("-$1,234.50"), parse_number("1,2,3")
    (Decimal('-1234.50'), None)
    """
    bare = text.strip()
    found = NUMBER.fullmatch(bare.removesuffix("%").removesuffix(".").strip()) if len(bare) <= MAX_CHARS else None
    if found is None or (found["sign"] and found["turned"]):
        return None
    sign = (found["sign"] or found["turned"]).replace("−", "-")
    return Decimal(sign + found["digits"].replace(",", "") + (found["power"] or ""))
