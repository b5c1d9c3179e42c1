"""A person's judgements as the rows that preference objectives read: pairs, and labelled answers."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kt_resources.errors import DataError
from kt_resources.store.schemas import Row, label_row, pair_row

Kind = Literal["pairs", "labels"]
GOOD, BAD = 1.0, 0.0
"""The scores of what a person holds for the better and the worse answer: their word, no verifier's."""

COLUMN = {"pairs": "rejected", "labels": "label"}
MENDS = {
    "pairs": "name sources of format preference, with prompt, chosen and rejected",
    "labels": "name sources with prompt, completion and label (true or false)",
}


def judged_rows(
    curated: Sequence[Mapping[str, Any]], kind: Kind, sources: Sequence[str], num_rows: int | None, seed: int
) -> list[Row]:
    """The pairs, or the labelled answers, of ``sources`` in a shuffled order; each knows the curated row that it is.

    Raises:
        DataError: a row of the sources has no judgement of this kind, or there is no row.
    """
    rows = [row for row in curated if row["source"] in sources]
    where = f"sources {', '.join(sources)}"
    if not rows:
        mend = "look at the reasons in curated_examples' metadata"
        raise DataError(f"there are no {kind}", where=where, mend=mend)
    for row in rows:
        if row[COLUMN[kind]] is None:
            what = f"the row has no '{COLUMN[kind]}'"
            raise DataError(what, where=f"{row['source']}: {row['origin']}", mend=MENDS[kind])
    random.Random(seed).shuffle(rows)
    make = _pair if kind == "pairs" else _label
    return [make(row) for row in rows[:num_rows]]


def judgement_facts(rows: Sequence[Row], schema: str) -> dict[str, int]:
    """Whether there is anything to tell apart, for the contract of pairs or of labels."""
    if schema == "pair":
        return {"num_equal_pairs": sum(row["chosen"] == row["rejected"] for row in rows)}
    desirable = sum(bool(row["label"]) for row in rows)
    return {"num_desirable": desirable, "num_undesirable": len(rows) - desirable}


def _pair(row: Mapping[str, Any]) -> Row:
    return pair_row(row, (row["completion"], GOOD), (row["rejected"], BAD))


def _label(row: Mapping[str, Any]) -> Row:
    return label_row(row, row["completion"], row["label"], GOOD if row["label"] else BAD)
