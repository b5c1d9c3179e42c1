"""A person's own file becomes example rows; a row that cannot be used stops the reading, or is set aside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kt_assets.sources.containers import Record, records_of
from kt_assets.sources.formats import ANSWER_OF_FORMAT, Said, format_of, label_of, turns_of
from kt_assets.sources.truth import UNJUDGED, with_truth
from kt_resources.errors import DataError
from kt_resources.recipes.data import FileSource
from kt_resources.store.schemas import Row, example_row
from kt_resources.verifiers import VerifierConfig

BadRow = dict[str, Any]


def read_file(
    path: Path, source: FileSource, bad_rows: list[BadRow] | None = None, verifier: VerifierConfig = UNJUDGED
) -> Iterator[Row]:
    """The rows of a file, one at a time, in its order; ``origin`` is ``file:line`` (Parquet: ``file:row``).

    Args:
        verifier: what it compares with must stand in every row that is asked and judged: a source's of another
            purpose than ``train``. An ``answer`` that is lacking there is what the marker finds in the completion.
        bad_rows: takes the rows that are set aside, each with ``source``, ``origin`` and ``reason``.

    Raises:
        DataError: names file and line: no file, an empty one, a row cut off, text that is not UTF-8, another format
            than the first row's, a missing answer; with ``set_aside``, a file none of whose rows can be used.
    """
    form: str | None = None if source.format == "auto" else source.format
    good, first_error = 0, None
    for where, found in records_of(path, "jsonl" if source.type == "jsonl" else "auto"):
        try:
            if isinstance(found, DataError):
                raise found
            told = form or format_of(found, where)
            row = _row(found, told, source, where)
            row = row if source.purpose == "train" else _judged(row, verifier, where)
        except DataError as error:
            if source.on_bad_row == "refuse":
                raise
            if bad_rows is not None:
                bad_rows.append({"source": source.name, "origin": where, "reason": error.what})
            first_error = first_error or error
            continue
        form, good = told, good + 1
        yield row
    if first_error and not good:
        what = f"no row can be used; the first: {first_error.what}"
        raise DataError(what, where=first_error.where, mend=first_error.mend)
    if not good:
        raise DataError("the file has no rows", where=path.name, mend="it holds one JSON object a line")


def _row(record: Record, form: str, source: FileSource, where: str) -> Row:
    said, label = turns_of(record, form, where), label_of(record, where)
    _refuse_unusable(said, label, form, source, where)
    messages = said.prompt
    if source.system and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": source.system}, *messages]
    answer, verification = record.get("answer"), record.get("verification")
    judged = source.purpose == "preference"
    return example_row(
        messages,
        said.completion,
        source=source.name,
        rejected=said.rejected if judged else None,
        label=label if judged else None,
        family=str(record.get("family") or source.name),
        answer=None if answer is None else str(answer),
        verification=json.dumps(verification) if isinstance(verification, dict | list) else verification,
        origin=where,
    )


def _refuse_unusable(said: Said, label: bool | None, form: str, source: FileSource, where: str) -> None:
    """DataError where the row lacks what rows of its source's purpose are for."""
    if source.purpose == "train" and said.completion is None:
        mend = "give it one, or give the source purpose: preference or rl, where the model answers"
        raise DataError(f"the row has no answer ({ANSWER_OF_FORMAT[form]})", where=where, mend=mend)
    if source.purpose == "train" and label is False:
        mend = "give the source purpose: preference, or leave such rows out (`on_bad_row: set_aside`)"
        raise DataError("the row's label says that its answer is wrong", where=where, mend=mend)
    if source.purpose == "preference" and form == "preference" and said.rejected is None:
        raise DataError("the row has no 'rejected' answer", where=where, mend="a pair has chosen and rejected")
    if source.purpose == "preference" and label is not None and said.completion is None:
        raise DataError("the row has a label and no answer", where=where, mend="give it the answer that is judged")


def _judged(row: Row, verifier: VerifierConfig, where: str) -> Row:
    """``row`` with what the verifier compares with; where a person has judged already, none is needed."""
    judged_already = row["rejected"] is not None or row["label"] is not None
    return with_truth(row, UNJUDGED if judged_already else verifier, where)
