"""The answer equals the ground truth, text for text."""

from typing import Literal

from kt_resources.store.rows import normalized
from kt_resources.verifiers.base import Row, Score, VerifierConfig, column


class Exact(VerifierConfig):
    """Score 1 where the answer equals the row's ``answer`` up to white space (and case, if so wished)."""

    type: Literal["exact"]
    ignore_case: bool = False

    @property
    def truths(self) -> tuple[str, ...]:
        return ("answer",)

    def scorer(self) -> Score:
        def fold(text: str) -> str:
            return normalized(text).casefold() if self.ignore_case else normalized(text)

        def score(answer: str, row: Row) -> float:
            return float(fold(answer) == fold(column(row, "answer")))

        return score
