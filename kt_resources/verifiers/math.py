"""The answer is mathematically equal to the ground truth, as math-verify judges."""

from typing import Literal

from pydantic import Field

from kt_resources.verifiers.base import Row, Score, VerifierConfig, column
from kt_resources.verifiers.time_limit import call_with_time_limit


class Math(VerifierConfig):
    r"""Score 1 where math-verify finds the answer (LaTeX or plain) equal to the row's ``answer``: 1/2 = \frac{1}{2}.

    Attributes:
        max_answer_chars: longer answers score 0, as symbolic parsers may take minutes over them.
        timeout_s: an answer whose comparison takes longer scores 0.
    """

    type: Literal["math"]
    max_answer_chars: int = Field(default=500, ge=1)
    timeout_s: float = Field(default=5.0, gt=0)

    @property
    def truths(self) -> tuple[str, ...]:
        return ("answer",)

    def scorer(self) -> Score:
        def score(answer: str, row: Row) -> float:
            truth = column(row, "answer")
            if len(answer) > self.max_answer_chars:
                return 0.0
            try:
                return float(call_with_time_limit(lambda: equal(answer, truth), self.timeout_s))
            except (TimeoutError, RecursionError):
                return 0.0

        return score


def equal(answer: str, truth: str) -> bool:
    """Whether two expressions are equal; the library's own alarms are off, the caller limits the time."""
    import logging

    from math_verify import parse, verify

    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    parsed = [parse(_as_math(text), parsing_timeout=None) for text in (truth, answer)]
    return bool(verify(parsed[0], parsed[1], timeout_seconds=None))


def _as_math(text: str) -> str:
    return text if "$" in text or "\\boxed" in text else f"${text}$"
