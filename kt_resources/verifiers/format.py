"""The completion has the asked form, whatever it says."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kt_resources.verifiers.base import Row, Score, VerifierConfig
from kt_resources.verifiers.time_limit import call_with_time_limit


class Format(VerifierConfig):
    """Score 1 where the completion matches ``pattern`` as a whole and has ``markers`` in order, each once.

    Attributes:
        pattern: a regular expression; a full stop matches line ends too.
        markers: texts such as ``<think>``, ``</think>``, ``####``.
        timeout_s: a completion over which the pattern takes longer scores 0.
    """

    type: Literal["format"]
    answer_marker: str | None = Field(default=None, min_length=1)
    pattern: str | None = Field(default=None, min_length=1)
    markers: tuple[str, ...] = ()
    timeout_s: float = Field(default=1.0, gt=0)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Format":
        if self.pattern is None and not self.markers:
            raise ValueError("give a pattern or markers")
        return self

    def scorer(self) -> Score:
        pattern = re.compile(self.pattern, re.DOTALL) if self.pattern is not None else None

        def score(text: str, row: Row) -> float:
            if not has_markers(text, self.markers):
                return 0.0
            if pattern is None:
                return 1.0
            try:
                return float(call_with_time_limit(lambda: pattern.fullmatch(text) is not None, self.timeout_s))
            except TimeoutError:
                return 0.0

        return score


def has_markers(text: str, markers: tuple[str, ...]) -> bool:
    """Whether each marker stands in ``text`` once, in their order.

    >>> has_markers("<a>x</a>", ("<a>", "</a>")), has_markers("</a><a>", ("<a>", "</a>"))
    (True, False)
    """
    places = [text.find(marker) for marker in markers]
    return all(text.count(marker) == 1 for marker in markers) and places == sorted(places)
