"""Mixing sources by weight: how many rows each gives, and which."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Any

from kt_resources.errors import DataError


@dataclass(frozen=True)
class Sampled:
    """The rows taken, and by source how many were wanted and taken; ``notes`` names the sources that ran short."""

    rows: list[dict[str, Any]]
    wanted: dict[str, int]
    taken: dict[str, int]
    notes: list[str] = field(default_factory=list)


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """``total`` split by ``weights`` into whole numbers that add up to it (largest remainder, Hamilton's method).

    Equal remainders go to the name that stands first.
    """
    whole = sum(weights.values())
    shares = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: floor(share + 1e-9) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: round(counts[name] - shares[name], 9))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def sample_by_weight(
    rows_by_source: Mapping[str, Sequence[dict[str, Any]]],
    weights: Mapping[str, float],
    num_rows: int | None,
    seed: int,
) -> Sampled:
    """Rows of each source by its weight, without repetition, in one shuffled order.

    Args:
        num_rows: rows in all; None takes all rows of the heaviest source that has any, the others beside it.

    Raises:
        DataError: no source has a row.
    """
    available = {name: len(rows_by_source.get(name, ())) for name in weights}
    wanted, taken = counts_by_weight(available, weights, num_rows)
    generator = random.Random(seed)
    rows = [row for name in weights for row in generator.sample(list(rows_by_source.get(name, ())), taken[name])]
    generator.shuffle(rows)
    short = [name for name in weights if taken[name] < wanted[name]]
    notes = [f"{name} ran short: {taken[name]} of {wanted[name]} rows" for name in short]
    return Sampled(rows, wanted, taken, notes)


def counts_by_weight(
    available: Mapping[str, int], weights: Mapping[str, float], num_rows: int | None
) -> tuple[dict[str, int], dict[str, int]]:
    """``(wanted, taken)``, rows by source: what the weights ask, and what of it is ``available``.

    Raises:
        DataError: no source has a row.
    """
    if not any(available.values()):
        mend = "look at the reasons in curated_examples' metadata, or name other sources in the weights"
        raise DataError("none of the mix's sources has a row", where=f"weights {', '.join(weights)}", mend=mend)
    wanted = apportion(_total(available, weights) if num_rows is None else num_rows, weights)
    return wanted, {name: min(count, available[name]) for name, count in wanted.items()}


def _total(available: Mapping[str, int], weights: Mapping[str, float]) -> int:
    """As many rows as the heaviest source with rows allows: its rows divided by its share."""
    heaviest = max((name for name in weights if available[name]), key=lambda name: weights[name])
    return floor(available[heaviest] * sum(weights.values()) / weights[heaviest] + 1e-9)
