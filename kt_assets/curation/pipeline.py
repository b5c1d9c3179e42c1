"""The filters in their order: normalize, mask, judge, compare, measure. A row ends kept, or removed with its reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kt_assets.curation.decision import Decision, Filter
from kt_assets.curation.decontaminate import Decontaminator
from kt_assets.curation.duplicates import ExactDuplicates, NearDuplicateFilter, PurposesApart
from kt_assets.curation.emails import mask_row
from kt_assets.curation.heuristics import check_heuristics
from kt_assets.curation.length import CountTokens, check_length
from kt_assets.curation.normalize import normalize_row
from kt_resources.recipes.data import Curation, Decontamination, NearDuplicates
from kt_resources.store.schemas import Row, prompt_text


@dataclass(frozen=True)
class Curated:
    """What curation made of the raw rows; ``len(kept) + len(removed)`` is their number.

    Attributes:
        kept: example rows; a row whose text changed has a new id, and its raw row as parent.
        removed: example rows with ``reason`` and ``detail``.
        counts_by_reason: removed rows by reason, in the order of the filters.
        num_masked: rows, kept or removed, in which e-mail addresses were masked.
        num_addresses: the addresses masked in them.
    """

    kept: list[Row]
    removed: list[Row]
    counts_by_reason: dict[str, int]
    num_masked: int
    num_addresses: int


def curate(
    rows: Sequence[Mapping[str, Any]],
    eval_rows: Sequence[Mapping[str, Any]],
    count_tokens: CountTokens,
    config: Curation,
    purposes: Mapping[str, str] | None = None,
) -> Curated:
    """Keep the rows that pass every filter of ``config``.

    Args:
        eval_rows: the evaluation items that no kept row may ask.
        count_tokens: tokens of a row under the base model's chat template.
        purposes: source → purpose; where given, no two purposes share a prompt.
    """
    ready = [prepared(row, config) for row in rows]
    held_out = [prepared(row, config)[0] for row in eval_rows]
    remaining, removed = [row for row, _ in ready], []
    counts: dict[str, int] = {}
    for stage in _stages(held_out, count_tokens, config, purposes):
        remaining, dropped = _apply(stage(remaining), remaining)
        removed += dropped
        for reason, count in Counter(row["reason"] for row in dropped).items():
            counts[reason] = counts.get(reason, 0) + count
    masked = [count for _, count in ready if count]
    return Curated(remaining, removed, counts, len(masked), sum(masked))


def prepared(row: Mapping[str, Any], config: Curation) -> tuple[Row, int]:
    """The row in its one form and masked, child of the raw row where its id changed; and its e-mail addresses."""
    new, count = normalize_row(row), 0
    if config.mask_emails:
        new, count = mask_row(new)
    return (new if new["id"] == row["id"] else new | {"parents": [row["id"]]}), count


def _stages(
    eval_rows: Sequence[Mapping[str, Any]],
    count_tokens: CountTokens,
    config: Curation,
    purposes: Mapping[str, str] | None,
) -> list[Any]:
    """Each filter as a function from the rows that reach it to the filter; the cheap ones come first."""

    def heuristics(_: Sequence[Row]) -> Filter:
        return lambda row: check_heuristics(row, config.heuristics)

    def length(_: Sequence[Row]) -> Filter:
        return lambda row: check_length(row, count_tokens, config.max_tokens)

    stages: list[Any] = [heuristics, lambda _: ExactDuplicates()]
    if config.near_duplicates is not None:
        near = config.near_duplicates
        stages.append(lambda reaching: NearDuplicateFilter(near, reaching))
    stages.append(lambda _: Decontaminator(eval_rows, config.decontamination))
    if config.near_duplicates is not None and config.decontamination is not None:
        nearly = near_items(config.near_duplicates, config.decontamination)
        stages.append(lambda _: Decontaminator(eval_rows, nearly))
    if purposes is not None:
        stages.append(lambda reaching: PurposesApart(purposes, reaching))
    return [*stages, length]


def near_items(near: NearDuplicates, decontamination: Decontamination) -> Decontamination:
    """The rule against a row that is nearly an evaluation item: near duplicates' short shingles, in their share."""
    return decontamination.model_copy(update={"ngram": near.shingle, "overlap": near.threshold})


def _apply(decide: Filter, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows kept, and the rows removed with their reasons."""
    kept, removed = [], []
    for row in rows:
        decision: Decision = decide(row)
        if decision is None:
            kept.append(row)
        else:
            removed.append(row | {"reason": decision.reason, "detail": decision.detail})
    return kept, removed


def reasons_table(curated: Curated) -> str:
    """A markdown table for the metadata: reason, rows, an example."""
    lines = ["| reason | rows | for example |", "|---|---:|---|"]
    for reason, count in sorted(curated.counts_by_reason.items(), key=lambda item: -item[1]):
        example = next(row for row in curated.removed if row["reason"] == reason)
        shown = " ".join(prompt_text(example).split())[:80].replace("|", "\\|")
        lines.append(f"| {reason} | {count} | {shown} |")
    total = len(curated.kept) + len(curated.removed)
    return "\n".join([*lines, f"| **kept** | **{len(curated.kept)} of {total}** | |"])
