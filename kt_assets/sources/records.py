"""Raw records: rows as they stand in ``raw.jsonl``, before they have an id."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_assets.sources.dirt import add_dirt
from kt_assets.sources.read_file import BadRow, read_file
from kt_assets.sources.reasoning_gym import source_rows
from kt_assets.sources.truth import UNJUDGED
from kt_resources.recipes.data import FileSource, ReasoningGymSource
from kt_resources.store.schemas import Row, example_row
from kt_resources.verifiers import VerifierConfig

COLUMNS = ("source", "family", "prompt", "completion", "rejected", "label", "answer", "verification", "origin")


def raw_records(
    source: ReasoningGymSource | FileSource,
    eval_rows: Sequence[Row],
    folder: Path,
    bad_rows: list[BadRow] | None = None,
    verifier: VerifierConfig = UNJUDGED,
) -> list[dict[str, Any]]:
    """The raw records of one source of the recipe, deliberate dirt included.

    Args:
        eval_rows: the evaluation items, of which leaked dirt is made.
        folder: the recipe's folder, from which a source's path counts.
        bad_rows: takes the rows that a source sets aside.
        verifier: judges the answers to rows of a file whose purpose is not ``train``.
    """
    if isinstance(source, FileSource):
        return [to_record(row) for row in read_file(folder / source.path, source, bad_rows, verifier)]
    records = [to_record(row) for row in source_rows(source)]
    return records if source.dirt is None else add_dirt(records, eval_rows, source.dirt, source.seed)


def to_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is computed from it."""
    return {name: row[name] for name in COLUMNS}


def to_row(record: Mapping[str, Any]) -> Row:
    """A raw record as an example row, with its id."""
    rest = {name: record[name] for name in COLUMNS if name not in ("prompt", "completion")}
    return example_row(record["prompt"], record["completion"], **rest)


def to_jsonl(records: Iterable[Mapping[str, Any]]) -> str:
    """Records as JSON Lines: one a line, keys in order, text as it is."""
    return "".join(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records)
