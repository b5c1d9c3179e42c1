"""Intervals by resampling items: pure functions of scores.

Percentile bootstrap: B. Efron, R. Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13. Every function
draws with ``options.seed``, so that the same scores give the same interval.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kt_resources.evaluators.config import Bootstrap
from kt_resources.strict import Strict

Passages = Mapping[str, Sequence[float]]
"""Columns ``nll`` (nats), ``tokens``, ``words``: one value a passage of general text."""


class Metric(Strict):
    """A measured figure with its interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int


def mean_interval(scores: Sequence[float], options: Bootstrap) -> Metric:
    """The mean of ``scores`` (each in [0, 1]) with its percentile interval.

    Where all are 0, or all 1, resampling would give an interval of no width; there the exact binomial bound stands
    (Clopper and Pearson: 0 of n gives [0, 1 - (a/2)^(1/n)] at level 1 - a).
    """
    _at_least_one(scores)
    n, mean = len(scores), sum(scores) / len(scores)
    if mean in (0.0, 1.0):
        width = 1 - ((1 - options.level) / 2) ** (1 / n)
        return Metric(value=mean, low=max(0.0, mean - width), high=min(1.0, mean + width), n=n)
    return _percentiles(mean, [scores], lambda draws: draws[0].mean(axis=1), options)


def perplexity_interval(nlls: Sequence[float], counts: Sequence[int], options: Bootstrap) -> Metric:
    """``exp(Σ nll / Σ count)`` over passages with its percentile interval; ``n`` is the sum of ``counts``.

    Args:
        nlls: negative log-likelihood of each passage, in nats.
        counts: tokens (or words) of each passage.
    """
    import numpy as np

    _at_least_one(nlls)
    value = float(np.exp(sum(nlls) / sum(counts)))
    metric = _percentiles(value, [nlls, counts], lambda draws: np.exp(draws[0].sum(1) / draws[1].sum(1)), options)
    return metric.model_copy(update={"n": int(sum(counts))})


def paired_difference(scores: Sequence[float], baseline: Sequence[float], options: Bootstrap) -> Metric:
    """Mean of ``scores - baseline``, item by item, with its percentile interval.

    Resampling the differences keeps what both models find easy or hard, so that the interval is narrower than that
    of two separate means.

    Raises:
        ValueError: the two have different lengths.
    """
    _at_least_one(scores)
    differences = [one - other for one, other in zip(scores, baseline, strict=True)]
    mean = sum(differences) / len(differences)
    return _percentiles(mean, [differences], lambda draws: draws[0].mean(axis=1), options)


def perplexity_drop(baseline: Passages, other: Passages, unit: str, options: Bootstrap) -> Metric:
    """Perplexity of ``baseline`` minus that of ``other`` on the same passages, resampled together.

    Args:
        unit: ``tokens`` or ``words``: the column that counts what the perplexity is per.
    """
    columns = [baseline["nll"], baseline[unit], other["nll"], other[unit]]

    def drop(sums: Any) -> Any:
        import numpy as np

        return np.exp(sums[0] / sums[1]) - np.exp(sums[2] / sums[3])

    value = float(drop([sum(column) for column in columns]))
    metric = _percentiles(value, columns, lambda draws: drop([column.sum(axis=1) for column in draws]), options)
    return metric.model_copy(update={"n": int(sum(baseline[unit]))})


def majority_scores(items: Sequence[Mapping[str, Any]]) -> list[float]:
    """What always giving the family's commonest answer would score, item by item: 1 where it is the item's answer.

    The commonest answer is taken from the very items that it is scored on, so that this baseline flatters itself; of
    equally common answers the alphabetically first counts.
    """
    answers: dict[str, Counter[str]] = {}
    for item in items:
        answers.setdefault(item["family"], Counter())[str(item["answer"])] += 1
    commonest = {family: min(count, key=lambda answer: (-count[answer], answer)) for family, count in answers.items()}
    return [float(str(item["answer"]) == commonest[item["family"]]) for item in items]


def _at_least_one(scores: Sequence[float]) -> None:
    if not len(scores):
        raise ValueError("no scores: an interval needs at least one item")


def _percentiles(value: float, columns: Sequence[Sequence[float]], statistic: Any, options: Bootstrap) -> Metric:
    """``value`` with the percentiles of ``statistic`` over resampled rows of ``columns``."""
    import numpy as np

    n = len(columns[0])
    drawn = np.random.default_rng(options.seed).integers(0, n, size=(options.resamples, n))
    values = statistic([np.asarray(column, dtype=np.float64)[drawn] for column in columns])
    tail = (1 - options.level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Metric(value=float(value), low=float(low), high=float(high), n=n)
