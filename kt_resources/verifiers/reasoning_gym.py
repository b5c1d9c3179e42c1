"""The task's own scorer of reasoning-gym."""

import inspect
import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Row, Score, VerifierConfig, checked, column, place_of
from kt_resources.verifiers.evaluating import answer_fits, is_known, row_fits
from kt_resources.verifiers.time_limit import call_with_time_limit

TIMEOUT_S = 10.0
"""An answer whose scoring takes longer scores 0."""


class ReasoningGym(VerifierConfig):
    """``score_answer`` of the generator that made the row, found by the row's ``verification`` (dataset and entry).

    Some of these scorers evaluate the answer as code; one that does not fit its generator's grammar scores 0 unseen.

    Attributes:
        exact: only a full score counts, as 1; else 0. Off, partial scores stand: a generator may give, say, 0.1 for
            a weekday that is the wrong one.
    """

    type: Literal["reasoning_gym"]
    exact: bool = True

    @property
    def truths(self) -> tuple[str, ...]:
        return ("verification",)

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

    An answer that the scorer chokes on, takes too long over or must not evaluate scores 0. A row whose own answer it
    chokes on or must not evaluate is a GenerationError; so is a generator that evaluates answers of unknown grammar.
    """
    try:
        task = json.loads(verification)
        name, entry = task["dataset"], task["entry"]
        score_answer = scorer_of(name)
    except (ValueError, KeyError, TypeError) as error:
        mend = "rows made by the source type reasoning_gym carry it; other rows need another verifier"
        raise GenerationError(f"its verification is not reasoning-gym's: {error}", where=where, mend=mend) from None
    if not row_fits(name, entry):
        what = f"what reasoning-gym's scorer of {name} would evaluate of this row is not of the form that it makes"
        raise GenerationError(what, where=where, mend="make the row again from its source")
    if not answer_fits(name, answer, entry):
        return 0.0
    try:
        value = call_with_time_limit(lambda: score_answer(answer, entry), TIMEOUT_S)
    except TimeoutError:
        return 0.0
    except Exception:
        _own_answer_scores(score_answer, entry, where)
        return 0.0
    return checked(value, where)


@cache
def scorer_of(name: str) -> Callable[[str, dict[str, Any]], float]:
    """``score_answer`` of the generator called ``name``.

    Raises:
        ValueError: there is none.
        GenerationError: it evaluates text as code, and there is no grammar of what it may be given.
    """
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise ValueError(f"reasoning-gym has no generator {name!r}")
    if not is_known(name, inspect.getsource(sys.modules[DATASETS[name][0].__module__])):
        what = "its scorer may run answers as code, and it is not known what answers it may be given"
        raise GenerationError(what, where=f"reasoning_gym {name}", mend="take another family")
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
