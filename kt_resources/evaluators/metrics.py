"""From scored items to metrics: pure functions of plain rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from kt_resources.evaluators.bootstrap import (
    Metric,
    Passages,
    majority_scores,
    mean_interval,
    paired_difference,
    perplexity_drop,
    perplexity_interval,
)
from kt_resources.evaluators.config import Bootstrap
from kt_resources.evaluators.gates import MAJORITY, find_model

Items = Sequence[Mapping[str, Any]]
"""Rows ``task, id, family, prompt, completion, answer, score, stopped``."""


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
        """The gain in ``metric`` of ``model`` over ``baseline`` (asset, step, or :data:`MAJORITY`), with its interval.

        Raises:
            EvaluateError: one of the two was not evaluated.
        """
        one = self._seen(metric, model)
        if metric.endswith("perplexity"):
            other = self._seen(metric, baseline)
            unit = f"{metric.removesuffix('_perplexity')}s"
            return perplexity_drop(other["general"], one["general"], unit, self.options)
        items = one["items"]
        if baseline == MAJORITY:
            guessed = [{**item, "score": score} for item, score in zip(items, majority_scores(items), strict=True)]
        else:
            guessed = self._seen(metric, baseline)["items"]
        return paired_difference(item_scores(items, metric), item_scores(guessed, metric), self.options)

    def _seen(self, metric: str, name: str) -> Mapping[str, Any]:
        return self.measured[find_model(self.models, name, metric)["asset"]]
