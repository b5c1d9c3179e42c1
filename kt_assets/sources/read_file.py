"""A person's own file becomes example rows; a row that cannot be used stops the reading, or is set aside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kt_assets.sources.containers import Record, records_of
from kt_assets.sources.formats import ANSWER_OF_FORMAT, format_of, turns_of
from kt_resources.errors import DataError
from kt_resources.recipes.data import FileSource
from kt_resources.store.schemas import Row, example_row
from kt_resources.verifiers import NoVerifier, VerifierConfig, reference_answer

BadRow = dict[str, Any]
UNJUDGED = NoVerifier()


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
        raise DataError(f"no row can be used; the first: {first_error.what}", where=first_error.where)
    if not good:
        raise DataError("the file has no rows", where=path.name, mend="it holds one JSON object a line")


def _row(record: Record, form: str, source: FileSource, where: str) -> Row:
    messages, completion = turns_of(record, form, where)
    if completion is None and source.purpose == "train":
        mend = "give it one, or give the source purpose: preference or rl, where the model answers"
        raise DataError(f"the row has no answer ({ANSWER_OF_FORMAT[form]})", where=where, mend=mend)
    if source.system and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": source.system}, *messages]
    answer, verification = record.get("answer"), record.get("verification")
    return example_row(
        messages,
        completion,
        source=source.name,
        family=str(record.get("family") or source.name),
        answer=None if answer is None else str(answer),
        verification=json.dumps(verification) if isinstance(verification, dict | list) else verification,
        origin=where,
    )


def _judged(row: Row, verifier: VerifierConfig, where: str) -> Row:
    """``row`` with the answer that its model's answers are compared with; DataError where the verifier has nothing."""
    row = row | {"answer": reference_answer(row, verifier.answer_marker)}
    if verifier.truth is not None and not row[verifier.truth]:
        mend = f"give it '{verifier.truth}', or choose a verifier that needs none (json_schema, python)"
        if verifier.truth == "answer" and row["completion"] and verifier.answer_marker:
            mend = f"its completion has no {verifier.answer_marker!r}; give it 'answer', or set verifier.answer_marker"
        what = f"the row has no '{verifier.truth}', which answers are compared with (verifier: {verifier.type})"
        raise DataError(what, where=where, mend=mend)
    return row
