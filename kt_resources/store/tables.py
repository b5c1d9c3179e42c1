"""Tables on disk: Parquet that is the same bytes for the same rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kt_resources.errors import DataError
from kt_resources.store.schemas import schemas

ROWS_A_GROUP = 10_000


def read_rows(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """All rows of a Parquet file, as dictionaries; only ``columns`` where given."""
    return list(iter_rows(path, columns))


def iter_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file one after the other, a row group in memory at a time.

    Raises:
        DataError: there is no such file, it is no Parquet, or it lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise DataError("there is no such table", where=str(path), mend="make the stage that writes it")
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"this is no Parquet table: {error}", where=str(path)) from error
    with file:
        missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
        if missing:
            raise DataError(f"the table has no column {', '.join(missing)}", where=str(path))
        for batch in file.iter_batches(batch_size=ROWS_A_GROUP, columns=list(columns) if columns else None):
            yield from batch.to_pylist()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], schema: Any) -> int:
    """Write ``rows`` as Parquet and return how many they were; the same rows make the same bytes.

    Args:
        schema: a pyarrow schema, or the name of one in :func:`kt_resources.store.schemas.schemas`.

    Raises:
        DataError: a row has other columns than the schema, or a value of another type; it names the row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fixed = schemas()[schema] if isinstance(schema, str) else schema
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    count, waiting = 0, iter(rows)
    with pq.ParquetWriter(path, fixed, compression="zstd", version="2.6", write_statistics=True) as writer:
        while batch := list(islice(waiting, ROWS_A_GROUP)):
            for row in batch:
                _check_columns(row, fixed.names, path)
            try:
                writer.write_table(pa.Table.from_pylist(batch, schema=fixed), row_group_size=ROWS_A_GROUP)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise DataError(f"a value is of another type than its column: {error}", where=str(path)) from error
            count += len(batch)
    return count


def _check_columns(row: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    if row.keys() == set(names):
        return
    lacking, unknown = sorted(set(names) - row.keys()), sorted(row.keys() - set(names))
    what = "; ".join(
        f"{verb} {', '.join(columns)}" for verb, columns in (("lacks", lacking), ("has unknown", unknown)) if columns
    )
    raise DataError(f"the row {what}", where=f"{Path(path).name} row {row.get('id', '?')}")
