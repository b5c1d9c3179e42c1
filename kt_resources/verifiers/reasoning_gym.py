"""The task's own scorer of reasoning-gym."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Row, Score, VerifierConfig, checked, column, place_of


class ReasoningGym(VerifierConfig):
    """``score_answer`` of the generator that made the row, found by the row's ``verification`` (dataset and entry).

    Attributes:
        exact: only a full score counts, as 1; else 0. Off, partial scores stand: a generator may give, say, 0.1 for
            a weekday that is the wrong one.
    """

    type: Literal["reasoning_gym"]
    exact: bool = True

    @property
    def truth(self) -> str | None:
        return "verification"

    def scorer(self) -> Score:
        def score(answer: str, row: Row) -> float:
            full = score_entry(answer, column(row, "verification"), place_of(row))
            return float(full >= 1.0) if self.exact else full

        return score


def score_entry(answer: str, verification: str, where: str) -> float:
    """The generator's score of ``answer``, in [0, 1].

    Args:
        verification: JSON ``{"dataset": name, "entry": {"question", "answer", "metadata"}}``.
        where: the row, for messages.

    An answer that the scorer chokes on scores 0; a row whose own answer it chokes on is a GenerationError.
    """
    try:
        task = json.loads(verification)
        name, entry = task["dataset"], task["entry"]
        score_answer = scorer_of(name)
    except (ValueError, KeyError, TypeError) as error:
        mend = "rows made by the source type reasoning_gym carry it; other rows need another verifier"
        raise GenerationError(f"its verification is not reasoning-gym's: {error}", where=where, mend=mend) from None
    try:
        value = score_answer(answer, entry)
    except Exception:
        _own_answer_scores(score_answer, entry, where)
        return 0.0
    return checked(value, where)


@cache
def scorer_of(name: str) -> Callable[[str, dict[str, Any]], float]:
    """``score_answer`` of the generator called ``name``; ValueError where there is none."""
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise ValueError(f"reasoning-gym has no generator {name!r}")
    score_answer: Callable[[str, dict[str, Any]], float] = reasoning_gym.get_score_answer_fn(name)
    return score_answer


def _own_answer_scores(score_answer: Callable[[str, dict[str, Any]], float], entry: Any, where: str) -> None:
    try:
        problem = None if score_answer(entry["answer"], entry) >= 1.0 else "it is scored as wrong"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        what = f"reasoning-gym cannot score this row's own answer: {problem}"
        raise GenerationError(what, where=where, mend="make the row again from its source")
