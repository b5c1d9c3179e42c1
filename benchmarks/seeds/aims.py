"""What the default line is asked to show, and whether each seed shows it: pure functions of what the runs left."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Seen = Mapping[str, Any]
"""Of one seed: ``results`` (``results.json``), ``facts`` (asset → facts) and ``seconds`` (asset → seconds)."""

Gain = Mapping[str, float]
"""``value``, ``low`` and ``high`` of a paired difference."""


class Aim(NamedTuple):
    """A line of the table: what is asked, what a seed shows, and whether that is enough."""

    words: str
    cell: Callable[[Seen], str]
    met: Callable[[Seen], bool]


def gain(seen: Seen, model: str, baseline: str, metric: str = "accuracy") -> Gain:
    """By how much ``model`` is better than ``baseline`` on the same items; KeyError where that was not compared."""
    for row in seen["results"]["comparisons"]:
        if (row["model"], row["baseline"], row["metric"]) == (model, baseline, metric):
            return row
    raise KeyError(f"{model} over {baseline}: {metric}")


def preference_gain(seen: Seen) -> Gain:
    """Gain in accuracy on held-out pairs by the preference step."""
    facts = seen["facts"]["preference_model"]
    return {name: facts[f"preference_gain{end}"] for name, end in (("value", ""), ("low", "_low"), ("high", "_high"))}


def worst_of_merge(seen: Seen) -> tuple[str, Gain]:
    """The family where the merged model is farthest below its best input there, and by how much."""
    models = {model["asset"]: model for model in seen["results"]["models"]}
    metrics = [name for name in models["merged_model"]["metrics"] if name.startswith("accuracy/")]
    found = {}
    for metric in metrics:
        best = max(models["merged_model"]["made_from"], key=lambda name: _value(models, name, metric))
        found[metric.removeprefix("accuracy/")] = gain(seen, "merged_model", best, metric)
    return min(found.items(), key=lambda item: item[1]["value"])


def _value(models: Mapping[str, Any], name: str, metric: str) -> float:
    return models[name]["metrics"][metric]["value"] if name in models else -1.0


AIMS = (
    Aim(
        "SFT at least 40 points over the base",
        lambda seen: points(gain(seen, "sft_model", "base_model")),
        lambda seen: gain(seen, "sft_model", "base_model")["value"] >= 0.4,
    ),
    Aim(
        "SFT at least 25 points over the base after examples",
        lambda seen: points(gain(seen, "sft_model", "few_shot_base")),
        lambda seen: gain(seen, "sft_model", "few_shot_base")["value"] >= 0.25,
    ),
    Aim(
        "accuracy on held-out pairs: interval above zero",
        lambda seen: points(preference_gain(seen)),
        lambda seen: preference_gain(seen)["low"] > 0,
    ),
    Aim(
        "GRPO over its start: interval above zero",
        lambda seen: points(gain(seen, "grpo_model", "preference_model")),
        lambda seen: gain(seen, "grpo_model", "preference_model")["low"] > 0,
    ),
    Aim(
        "merged at most 2 points below its best input, in every family",
        lambda seen: f"{worst_of_merge(seen)[0]}: {points(worst_of_merge(seen)[1])}",
        lambda seen: worst_of_merge(seen)[1]["value"] >= -0.02,
    ),
    Aim(
        "GGUF: lower bound above −5 points of the merged",
        lambda seen: points(gain(seen, "gguf_model", "merged_model")),
        lambda seen: gain(seen, "gguf_model", "merged_model")["low"] > -0.05,
    ),
    Aim(
        "general text: perplexity at most 1.2 times the base's",
        lambda seen: f"{seen['facts']['evaluation_report']['perplexity_ratio_to_base']:.2f} times",
        lambda seen: seen["facts"]["evaluation_report"]["perplexity_ratio_to_base"] <= 1.2,
    ),
    Aim(
        "general ability: at most 10 points lost",
        lambda seen: f"{100 * seen['facts']['evaluation_report']['general_ability_change']:+.0f}",
        lambda seen: seen["facts"]["evaluation_report"]["general_ability_change"] >= -0.1,
    ),
    Aim(
        "the whole line within 20 minutes",
        lambda seen: f"{sum(seen['seconds'].values()) / 60:.1f} min",
        lambda seen: sum(seen["seconds"].values()) <= 20 * 60,
    ),
)


def points(found: Gain) -> str:
    """A difference of shares in points, with its interval.

    >>> points({"value": 0.125, "low": 0.0625, "high": 0.1875})
    '+12.5 (+6.2 to +18.8)'
    """
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * found[name] for name in ("value", "low", "high")))


def aim_rows(seeds: Sequence[Seen]) -> list[list[str]]:
    """A row an aim: its words, what each seed shows, and how many met it."""
    return [
        [aim.words, *(aim.cell(seen) for seen in seeds), f"{sum(map(aim.met, seeds))} of {len(seeds)}"] for aim in AIMS
    ]
