"""From scored items to metrics: pure functions of plain rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from kt_resources.errors import EvaluateError
from kt_resources.evaluators.bootstrap import (
    Metric,
    majority_scores,
    mean_interval,
    paired_difference,
    perplexity_drop,
    perplexity_interval,
    perplexity_ratio,
)
from kt_resources.evaluators.config import ABILITY, Bootstrap
from kt_resources.evaluators.gates import FEW_SHOT_BASE, MAJORITY, UNTRAINED, find_model

Items = Sequence[Mapping[str, Any]]
"""Rows ``task, id, family, prompt, completion, answer, score, lenient_score, stopped``."""

COLUMNS = {"accuracy": "score", "lenient_accuracy": "lenient_score", "stops": "stopped"}
"""The metrics that are means over items: of which column."""

PERPLEXITIES = {
    "word_perplexity": ("general", "words"),
    "token_perplexity": ("general", "tokens"),
    "answer_perplexity": ("references", "tokens"),
}
"""The metrics that are perplexities: of which columns of what was seen, and a what."""


def model_metrics(seen: Mapping[str, Any], options: Bootstrap) -> dict[str, Metric]:
    """``accuracy``, ``lenient_accuracy``, both by ``/<family>``, ``stops``; as asked, :data:`ABILITY`, perplexities.

    ``accuracy`` is the mean score over all items, ``lenient_accuracy`` that of the same answers leniently read
    (:mod:`kt_resources.verifiers.lenient`); ``stops`` the share of answers that the model ended itself.

    Args:
        seen: ``items`` and, where they were asked, ``ability`` (item id → score), ``general`` (columns of passages) and
            ``references`` (columns of the items' own answers).
    """
    items = seen["items"]
    families = sorted({item["family"] for item in items})
    names = ["accuracy", *(f"accuracy/{family}" for family in families), "lenient_accuracy"]
    names += [*(f"lenient_accuracy/{family}" for family in families), "stops"]
    metrics = {name: mean_interval(item_scores(items, name), options) for name in names}
    if seen.get("ability"):
        metrics[ABILITY] = mean_interval([score for _, score in sorted(seen["ability"].items())], options)
    for name, (place, unit) in PERPLEXITIES.items():
        if text := seen.get(place):
            metrics[name] = perplexity_interval(text["nll"], [int(count) for count in text[unit]], options)
    return metrics


def item_scores(items: Items, metric: str) -> list[float]:
    """Each item's part of ``metric`` (one of :data:`COLUMNS`, all items or ``/<family>``), in the order of ids.

    KeyError where the metric is no mean over items.
    """
    name, _, family = metric.partition("/")
    column = COLUMNS[name]
    chosen = [item for item in items if not family or item["family"] == family]
    return [float(item[column]) for item in sorted(chosen, key=lambda item: (item["task"], item["id"]))]


def untrained_items(baseline: str, base: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items with the scores of ``baseline``, one of ``UNTRAINED``.

    Args:
        base: what was seen of the base model: ``items`` and, where it was asked after examples, ``few_shot``.

    Raises:
        EvaluateError: the base model was not asked after examples.
    """
    items = base["items"]
    if baseline == FEW_SHOT_BASE:
        items = base.get("few_shot")
        if not items:
            mend = "give evaluate.few_shot.num_examples, and training rows with answers"
            raise EvaluateError(f"there is no {FEW_SHOT_BASE}", where="evaluate.few_shot", mend=mend)
    scores = majority_scores(items) if baseline == MAJORITY else [item["lenient_score"] for item in items]
    return [{**item, "score": score, "lenient_score": score} for item, score in zip(items, scores, strict=True)]


class Gains:
    """By how much one model is better than another on the same items; positive is better, for perplexity too.

    Args:
        models: rows ``asset, step``.
        measured: what was seen of each asset: ``items`` and ``general``.
    """

    def __init__(
        self, models: Sequence[Mapping[str, Any]], measured: Mapping[str, Mapping[str, Any]], options: Bootstrap
    ) -> None:
        self.models, self.measured, self.options = models, measured, options

    def __call__(self, metric: str, model: str, baseline: str) -> Metric:
        """The gain in ``metric`` of ``model`` over ``baseline`` (asset, step, or one of ``UNTRAINED``).

        Raises:
            EvaluateError: one of the two was not evaluated.
        """
        if metric in PERPLEXITIES:
            return self._perplexities(perplexity_drop, metric, model, baseline)
        one = self._seen(metric, model)
        if metric == ABILITY:
            known, before = one["ability"], self._seen(metric, baseline)["ability"]
            items = sorted(known)
            return paired_difference([known[i] for i in items], [before[i] for i in items], self.options)
        if baseline in UNTRAINED:
            other_items = untrained_items(baseline, self.measured[self.models[0]["asset"]])
        else:
            other_items = self._seen(metric, baseline)["items"]
        return paired_difference(item_scores(one["items"], metric), item_scores(other_items, metric), self.options)

    def ratio(self, metric: str, model: str, baseline: str) -> Metric:
        """A perplexity of ``model`` over that of ``baseline`` (asset or step); 1 is unchanged, more is forgotten."""
        return self._perplexities(perplexity_ratio, metric, model, baseline)

    def _perplexities(self, compare: Any, metric: str, model: str, baseline: str) -> Metric:
        place, unit = PERPLEXITIES[metric]
        texts = [self._seen(metric, name)[place] for name in (baseline, model)]
        return compare(*texts, unit, self.options)

    def _seen(self, metric: str, name: str) -> Mapping[str, Any]:
        return self.measured[find_model(self.models, name, metric)["asset"]]
