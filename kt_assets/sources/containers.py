"""The records of a file, one at a time, each with its place: JSON Lines, JSON, CSV, Parquet."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kt_resources.errors import DataError

Record = Mapping[str, Any]
Found = tuple[str, Record | DataError]
"""A place (``file:line``; in Parquet ``file:row``), and the record that stands there or what is wrong with it."""

CHAT_COLUMNS = ("messages", "conversations")
"""Columns that hold JSON where the cells of a file are text."""


def records_of(path: Path, container: str = "auto") -> Iterator[Found]:
    """The records of ``path`` in order; a record that cannot be read comes as its error, the rest go on.

    Args:
        container: ``jsonl``, ``json``, ``csv``, ``parquet``; ``auto`` takes it from the file's ending.

    Raises:
        DataError: no such file, an unknown ending, or a file that cannot be read as a whole.
    """
    if not path.is_file():
        raise DataError(
            "there is no such file", where=str(path), mend="in a recipe, a path counts from the recipe's folder"
        )
    ending = path.suffix.lower().lstrip(".") if container == "auto" else container
    if ending not in READERS:
        mend = f"the endings that are known: {', '.join(f'.{name}' for name in READERS)}"
        raise DataError(f"the ending {path.suffix or '(none)'} tells no kind of file", where=path.name, mend=mend)
    return READERS[ending](path)


def _json_lines(path: Path) -> Iterator[Found]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            where = f"{path.name}:{number}"
            try:
                line = _decode(raw, where, first=number == 1).strip()
                if line:
                    yield where, _parse(line, where)
            except DataError as error:
                yield where, error


def _json(path: Path) -> Iterator[Found]:
    """The objects of one JSON array, each with the line that it begins on."""
    text = _whole_text(path).rstrip()
    if not text:
        return
    position, before, line = _skip(text, 0), 0, 1
    if text[position] != "[":
        mend = "for one object a line, give the file the ending .jsonl"
        raise DataError("the file is no JSON array of objects", where=f"{path.name}:1", mend=mend)
    position, decoder = _skip(text, position + 1), json.JSONDecoder()
    while text[position:] != "]":
        line, before = line + text.count("\n", before, position), position
        where = f"{path.name}:{line}"
        try:
            value, end = decoder.raw_decode(text, position)
            position = _next_item(text, end)
        except (ValueError, RecursionError):
            whole = text.endswith("]")
            what = "from here on this is no JSON array" if whole else "the JSON array ends in the middle"
            mend = "correct the JSON there" if whole else "was the file cut off while it was copied?"
            raise DataError(what, where=where, mend=mend) from None
        yield where, value if isinstance(value, dict) else _no_object(value, where)


def _csv(path: Path) -> Iterator[Found]:
    reader = csv.reader(io.StringIO(_whole_text(path), newline=""), strict=True)
    columns: list[str] = []
    start = 1
    try:
        for cells in reader:
            where, start = f"{path.name}:{start}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = [cell.strip() for cell in cells]
            elif len(cells) != len(columns):
                what = f"the row has {len(cells)} cells, the first line names {len(columns)} columns"
                yield where, DataError(what, where=where, mend="a cell that holds a comma stands in double quotes")
            else:
                yield where, _from_cells(dict(zip(columns, cells, strict=True)), where)
    except csv.Error as error:
        mend = "was the file cut off inside a quoted cell?"
        raise DataError(f"this is no CSV: {error}", where=f"{path.name}:{start}", mend=mend) from None


def _parquet(path: Path) -> Iterator[Found]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for record in batch.to_pylist():
                number += 1
                yield f"{path.name}:{number}", record
    except pa.ArrowInvalid as error:
        what = f"this is no whole Parquet file: {str(error).splitlines()[0]}"
        raise DataError(what, where=path.name, mend="was the file cut off while it was copied?") from None


READERS = {"jsonl": _json_lines, "json": _json, "csv": _csv, "parquet": _parquet}


def _decode(raw: bytes, where: str, *, first: bool) -> str:
    try:
        return raw.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} of the line is not UTF-8"
        mend = "convert the file, for example: iconv -f latin1 -t utf-8"
        raise DataError(what, where=where, mend=mend) from None


def _whole_text(path: Path) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    return "".join(_decode(raw, f"{path.name}:{n}", first=n == 1) for n, raw in enumerate(lines, start=1))


def _parse(line: str, where: str) -> Record | DataError:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(line) - 1 or "Unterminated" in error.msg
        what = "the line ends in the middle of a JSON object" if cut else f"this is no JSON: {error.msg}"
        mend = "one whole JSON object a line; was the file cut off while it was copied?" if cut else ""
        return DataError(f"{what} (column {error.colno})", where=where, mend=mend)
    except RecursionError:
        return DataError("this JSON is nested too deeply", where=where)
    return record if isinstance(record, dict) else _no_object(record, where)


def _no_object(value: Any, where: str) -> DataError:
    return DataError(f"a row is a JSON object, this is {type(value).__name__}", where=where)


def _skip(text: str, position: int) -> int:
    """The first position from ``position`` that is no white space."""
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _next_item(text: str, end: int) -> int:
    """Where the item after the one that ends at ``end`` begins, or the array's last bracket stands."""
    end = _skip(text, end)
    if text[end:] == "]":
        return end
    if text[end : end + 1] != ",":
        raise ValueError("a comma is lacking")
    return _skip(text, end + 1)


def _from_cells(cells: dict[str, str], where: str) -> Record | DataError:
    """A CSV row as a record: an empty cell is no value, a chat is JSON in its cell."""
    record: dict[str, Any] = {name: cell for name, cell in cells.items() if cell != ""}
    for name in CHAT_COLUMNS:
        try:
            if name in record:
                record[name] = json.loads(record[name])
        except (json.JSONDecodeError, RecursionError):
            return DataError(f"the cell '{name}' is no JSON", where=where, mend="a chat in a CSV cell is a JSON list")
    return record
