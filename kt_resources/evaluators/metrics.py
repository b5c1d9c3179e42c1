"""From scored items to metrics: pure functions of plain rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from kt_resources.evaluators.bootstrap import (
    Metric,
    majority_scores,
    mean_interval,
    paired_difference,
    perplexity_interval,
)
from kt_resources.evaluators.config import Bootstrap
from kt_resources.evaluators.gates import MAJORITY, find_model

Items = Sequence[Mapping[str, Any]]
"""Rows ``task, id, family, prompt, completion, answer, score, stopped``."""

Passages = Mapping[str, Sequence[float]]
"""Columns ``nll`` (nats), ``tokens``, ``words``: one value a passage of general text."""


def model_metrics(items: Items, general: Passages | None, options: Bootstrap) -> dict[str, Metric]:
    """``accuracy``, ``accuracy/<family>``, ``stops`` and, where there is general text, the two perplexities.

    ``accuracy`` is the mean score over all items; ``stops`` the share of answers that the model ended itself.
    """
    metrics = {"accuracy": mean_interval([item["score"] for item in items], options)}
    for family in sorted({item["family"] for item in items}):
        scores = [item["score"] for item in items if item["family"] == family]
        metrics[f"accuracy/{family}"] = mean_interval(scores, options)
    metrics["stops"] = mean_interval([float(item["stopped"]) for item in items], options)
    if general:
        for unit in ("word", "token"):
            counts = [int(count) for count in general[f"{unit}s"]]
            metrics[f"{unit}_perplexity"] = perplexity_interval(general["nll"], counts, options)
    return metrics


def item_scores(items: Items, metric: str) -> list[float]:
    """Each item's part of ``metric`` (``accuracy``, ``accuracy/<family>`` or ``stops``), in the order of ids.

    KeyError where the metric is no mean over items.
    """
    name, _, family = metric.partition("/")
    column = {"accuracy": "score", "stops": "stopped"}[name]
    chosen = [item for item in items if not family or item["family"] == family]
    return [float(item[column]) for item in sorted(chosen, key=lambda item: (item["task"], item["id"]))]


class Gains:
    """Differences between models on the same items.

    Args:
        models: rows ``asset, step, metrics``.
        items: each asset's items.
    """

    def __init__(self, models: Sequence[Mapping[str, Any]], items: Mapping[str, Items], options: Bootstrap) -> None:
        self.models, self.items, self.options = models, items, options

    def __call__(self, metric: str, model: str, baseline: str) -> Metric:
        """``model - baseline``: paired over items; for a perplexity the plain difference, its interval the two ends."""
        one = find_model(self.models, model, metric)
        if metric.endswith("perplexity"):
            other = find_model(self.models, baseline, metric)
            return unpaired(one["metrics"][metric], other["metrics"][metric])
        scores = item_scores(self.items[one["asset"]], metric)
        return paired_difference(scores, self._baseline(metric, one["asset"], baseline), self.options)

    def _baseline(self, metric: str, asset: str, baseline: str) -> list[float]:
        if baseline != MAJORITY:
            return item_scores(self.items[find_model(self.models, baseline, metric)["asset"]], metric)
        items = self.items[asset]
        guessed = [{**item, "score": score} for item, score in zip(items, majority_scores(items), strict=True)]
        return item_scores(guessed, metric)


def unpaired(one: Metric, other: Metric) -> Metric:
    """The difference of two figures; its ends are the most that their intervals allow."""
    return Metric(value=one.value - other.value, low=one.low - other.high, high=one.high - other.low, n=one.n)
