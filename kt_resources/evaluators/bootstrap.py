"""Intervals by resampling items: pure functions of scores.

Percentile bootstrap: B. Efron, R. Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13. Every function
draws with ``options.seed``, so that the same scores give the same interval. Where nothing varies, resampling gives
an interval of no width; there an exact bound on how often something else can happen stands in its place (0 of n:
C. Clopper, E. Pearson, *Biometrika* 26 (1934); at 95 % about 3.7 / n, the two-sided "rule of three" of J. Hanley,
A. Lippman-Hand, *JAMA* 249 (1983)).
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

    Where all are 0, or all 1, the exact bound stands: 0 of n gives [0, :func:`unseen`(n)].
    """
    _at_least_one(scores)
    n, mean = len(scores), sum(scores) / len(scores)
    if mean in (0.0, 1.0):
        width = unseen(n, options)
        return Metric(value=mean, low=max(0.0, mean - width), high=min(1.0, mean + width), n=n)
    return _percentiles(mean, [scores], lambda draws: draws[0].mean(axis=1), options)


def unseen(n: int, options: Bootstrap) -> float:
    """How often, at most, something happens that was not seen in ``n`` items: 1 - (a/2)^(1/n) at level 1 - a.

    >>> round(unseen(500, Bootstrap()), 4)
    0.0074
    """
    return 1 - ((1 - options.level) / 2) ** (1 / n)


def perplexity_interval(nlls: Sequence[float], counts: Sequence[int], options: Bootstrap) -> Metric:
    """``exp(Σ nll / Σ count)`` over passages with its percentile interval; ``n`` is the sum of ``counts``.

    Args:
        nlls: negative log-likelihood of each passage, in nats.
        counts: tokens (or words) of each passage.

    Raises:
        ValueError: fewer than two passages, of which no interval can be told.
    """
    import numpy as np

    _at_least_two(nlls)
    value = float(np.exp(sum(nlls) / sum(counts)))
    metric = _percentiles(value, [nlls, counts], lambda draws: np.exp(draws[0].sum(1) / draws[1].sum(1)), options)
    return metric.model_copy(update={"n": int(sum(counts))})


def paired_difference(scores: Sequence[float], baseline: Sequence[float], options: Bootstrap) -> Metric:
    """Mean of ``scores - baseline``, item by item, with its percentile interval.

    Resampling the differences keeps what both models find easy or hard, so that the interval is narrower than that
    of two separate means. Where all n differences are the same number c, at most a share :func:`unseen`(n) of all
    items differs by something else, which lies between -1 and 1; the interval is what follows for the mean:
    [c - unseen(n) (c + 1), c + unseen(n) (1 - c)].

    Raises:
        ValueError: the two have different lengths.
    """
    _at_least_one(scores)
    differences = [one - other for one, other in zip(scores, baseline, strict=True)]
    n, mean = len(differences), sum(differences) / len(differences)
    if len(set(differences)) == 1:
        share = unseen(n, options)
        return Metric(value=mean, low=mean - share * (mean + 1), high=mean + share * (1 - mean), n=n)
    return _percentiles(mean, [differences], lambda draws: draws[0].mean(axis=1), options)


def perplexity_drop(baseline: Passages, other: Passages, unit: str, options: Bootstrap) -> Metric:
    """Perplexity of ``baseline`` minus that of ``other`` on the same passages, resampled together.

    Args:
        unit: ``tokens`` or ``words``: the column that counts what the perplexity is per.
    """
    return _of_two(baseline, other, unit, options, lambda before, after: before - after)


def perplexity_ratio(baseline: Passages, other: Passages, unit: str, options: Bootstrap) -> Metric:
    """Perplexity of ``other`` over that of ``baseline`` on the same passages, resampled together; 1 is unchanged."""
    return _of_two(baseline, other, unit, options, lambda before, after: after / before)


def _of_two(baseline: Passages, other: Passages, unit: str, options: Bootstrap, compare: Any) -> Metric:
    columns = [baseline["nll"], baseline[unit], other["nll"], other[unit]]
    _at_least_two(columns[0])

    def compared(sums: Any) -> Any:
        import numpy as np

        return compare(np.exp(sums[0] / sums[1]), np.exp(sums[2] / sums[3]))

    value = float(compared([sum(column) for column in columns]))
    metric = _percentiles(value, columns, lambda draws: compared([column.sum(axis=1) for column in draws]), options)
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


def _at_least_two(passages: Sequence[float]) -> None:
    if len(passages) < 2:
        raise ValueError(f"{len(passages)} passage of text has no interval: it needs at least two")


def _percentiles(value: float, columns: Sequence[Sequence[float]], statistic: Any, options: Bootstrap) -> Metric:
    """``value`` with the percentiles of ``statistic`` over resampled rows of ``columns``."""
    import numpy as np

    n = len(columns[0])
    drawn = np.random.default_rng(options.seed).integers(0, n, size=(options.resamples, n))
    values = statistic([np.asarray(column, dtype=np.float64)[drawn] for column in columns])
    tail = (1 - options.level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Metric(value=float(value), low=float(low), high=float(high), n=n)
