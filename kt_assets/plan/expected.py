"""A step's rows before they are made: as many as its sources can give, and as long as theirs are, about.

For times alone. What a device must hold is bounded by the recipe until the rows are counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kt_assets.mix.weights import counts_by_weight
from kt_assets.plan.glance import Sources
from kt_assets.stage import Stage
from kt_resources.compute.memory.parts import Lengths
from kt_resources.recipes.datasets import Mix, OnPolicy, OnPolicyPairs, Own, Prompts


@dataclass(frozen=True)
class Rows:
    """How many rows a dataset can have at most, both sides of its split together.

    Attributes:
        by_source: rows that stem from each source.
        written: rows that a model writes beside them, taken for as long as they are.
        held_out: of them all.
        answer_tokens: of a model's answer to a prompt whose source has none, at most.
    """

    by_source: Mapping[str, float]
    held_out: float
    written: float = 0.0
    answer_tokens: int = 0

    @property
    def total(self) -> float:
        return sum(self.by_source.values()) + self.written


def most_rows(config: Any, sources: Sources) -> Rows:
    """The rows of the dataset of that ``config``, before curation takes any out.

    Raises:
        DataError: a source's file is absent or cannot be read.
    """
    if isinstance(config, Mix):
        written = sources.written()
        available = {name: written.get(name) or sources.num_rows(name) for name in config.weights}
        _, taken = counts_by_weight(available, config.weights, config.num_rows)
        own = {name: count for name, count in taken.items() if name not in written}
        total = sum(taken.values())
        return Rows(own, total * config.validation_fraction, written=total - sum(own.values()))
    counts = {name: float(sources.num_rows(name)) for name in config.sources or config.purpose_sources}
    if isinstance(config, Prompts):
        return Rows(_at_most(counts, config.num_rows), config.validation_rows)
    if isinstance(config, Own):
        counts = _at_most(counts, config.num_rows)
        return Rows(counts, sum(counts.values()) * config.validation_fraction)
    assert isinstance(config, OnPolicy)
    each = config.max_pairs_per_prompt if isinstance(config, OnPolicyPairs) else config.num_samples
    asked = {name: count * each for name, count in _at_most(counts, config.num_prompts).items()}
    counts = _at_most(asked, getattr(config, "max_pairs", None))
    held_out = sum(counts.values()) * config.validation_fraction
    return Rows(counts, held_out, answer_tokens=config.sampling.max_new_tokens)


def _at_most(counts: Mapping[str, float], limit: int | None) -> dict[str, float]:
    """``counts`` scaled down to ``limit`` in all, where they are more."""
    scale = 1.0 if limit is None else min(1.0, limit / max(1.0, sum(counts.values())))
    return {name: count * scale for name, count in counts.items()}


def timed_lengths(stage: Stage, sources: Sources, lengths: Lengths) -> Lengths:
    """The lengths that a step's time is planned from: ``lengths`` where they are counts, else what can be expected.

    Of an online objective the completions that the policy will give are among them, as long as the sources' answers.
    """
    told = lengths if lengths.known else expected_lengths(stage, sources, lengths)
    longest = getattr(getattr(stage.config, "objective", None), "max_completion_length", None)
    if longest is None:
        return told
    answers = [answer for name in sources.names() for _, answer in sources.glance(name).lengths if answer]
    mean = min(float(longest), fmean(answers)) if answers else float(longest)
    return told.model_copy(update={"scored": longest, "mean_scored": mean})


def expected_lengths(stage: Stage, sources: Sources, bound: Lengths) -> Lengths:
    """Number and lengths of the rows that the step ``stage`` will learn from, none longer than ``bound``.

    Raises:
        DataError: a source's file is absent or cannot be read.
    """
    config: Any = stage.parents["data"].config
    rows = most_rows(config, sources)
    told: dict[str, Any] = {
        "num_rows": max(1, round(rows.total - rows.held_out)),
        "num_validation_rows": round(rows.held_out),
    }
    if found := {name: _lengths(name, rows, sources, config) for name, count in rows.by_source.items() if count}:
        told["longest"], told["mean"] = _most_and_mean(found, rows.by_source, 0, bound.longest)
        told["scored"], told["mean_scored"] = _most_and_mean(found, rows.by_source, 1, bound.longest)
    return bound.model_copy(update=told)


def _most_and_mean(
    found: Mapping[str, Sequence[tuple[int, int]]], counts: Mapping[str, float], side: int, limit: int
) -> tuple[int, float]:
    """The largest, and the mean with each source counted by its rows, of one side of the pairs; ``limit`` at most."""
    most = min(limit, max(pair[side] for pairs in found.values() for pair in pairs))
    means = {name: sum(pair[side] for pair in pairs) / len(pairs) for name, pairs in found.items()}
    mean = sum(counts[name] * means[name] for name in found) / sum(counts[name] for name in found)
    return most, min(float(most), mean)


def _lengths(name: str, rows: Rows, sources: Sources, config: Any) -> list[tuple[int, int]]:
    """(tokens of the whole, of the answer) of the source's rows; of prompts without the answers to come."""
    if isinstance(config, Prompts):
        return [(prompt, 0) for prompt, _ in sources.glance(name).lengths]
    told = [(prompt, answer or rows.answer_tokens) for prompt, answer in sources.glance(name).lengths]
    return [(prompt + answer, answer) for prompt, answer in told]
