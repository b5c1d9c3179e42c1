"""JSON, CSV and Parquet give the records that JSON Lines gives, and tell the place of what is wrong."""

import json

import pytest

from kt_assets.sources.containers import records_of
from kt_assets.sources.read_file import read_file
from kt_resources.errors import DataError
from kt_resources.recipes.data import FileSource

ROWS = [{"prompt": "a, b?", "completion": 'say "c"\nand d'}, {"prompt": "e?", "completion": "f", "answer": "f"}]
CSV = b'prompt,completion,answer\r\n"a, b?","say ""c""\nand d",\r\ne?,f,f\r\n'


def write(tmp_path, name, content):
    path = tmp_path / name
    if name.endswith("parquet") and isinstance(content, list):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(content), path)
    else:
        path.write_bytes(content)
    return path


def read(path, bad_rows=None, **options):
    return list(read_file(path, FileSource(type="file", name="mine", path=path.name, **options), bad_rows))


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("r.jsonl", "\n".join(map(json.dumps, ROWS)).encode(), (1, 2)),
        ("r.json", json.dumps(ROWS, indent=1).encode(), (2, 6)),
        ("r.csv", b"\xef\xbb\xbf" + CSV, (2, 4)),
        ("r.parquet", [ROWS[0] | {"answer": None}, ROWS[1]], (1, 2)),
    ],
)
def test_every_container_gives_the_same_rows(tmp_path, name, content, places):
    rows = read(write(tmp_path, name, content))
    got = [(row["prompt"][0]["content"], row["completion"], row["answer"]) for row in rows]
    assert got == [("a, b?", 'say "c"\nand d', None), ("e?", "f", "f")]
    assert [row["origin"] for row in rows] == [f"{name}:{place}" for place in places]


def test_a_chat_in_a_csv_cell(tmp_path):
    chat = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    cell = json.dumps(chat).replace('"', '""')
    (row,) = read(write(tmp_path, "r.csv", f'conversations\n"{cell}"\n'.encode()))
    assert (row["prompt"], row["completion"]) == ([{"role": "user", "content": "Hi"}], "Hello")


@pytest.mark.parametrize(
    ("name", "content", "where", "what"),
    [
        ("r.xls", b"x", "r.xls", "tells no kind of file"),
        ("r.json", b"", "r.json", "no rows"),
        ("r.json", b"[]", "r.json", "no rows"),
        ("r.json", b'{"prompt": "a"}', "r.json:1", "no JSON array of objects"),
        ("r.json", json.dumps(ROWS, indent=1).encode()[:-20], "r.json:6", "ends in the middle"),
        ("r.json", b'[{"prompt": "a", "completion": "b"}\n,\nx]', "r.json:3", "from here on"),
        ("r.json", b'[{"prompt": "a", "completion": "b"}, 3]', "r.json:1", "this is int"),
        ("r.json", b'[\n{"prompt": "\xe9"}]', "r.json:2", "byte 13 of the line is not UTF-8"),
        ("r.csv", b"prompt,completion\n", "r.csv", "no rows"),
        ("r.csv", b"prompt,completion\na,b,c\n", "r.csv:2", "3 cells, the first line names 2"),
        ("r.csv", b'prompt,completion\n"a,b\n', "r.csv:2", "this is no CSV"),
        ("r.csv", b"prompt,completion\na,\n", "r.csv:2", "no answer"),
        ("r.csv", b"messages\nhello\n", "r.csv:2", "the cell 'messages' is no JSON"),
        ("r.parquet", b"PAR1 and no more", "r.parquet", "no whole Parquet file"),
    ],
)
def test_mistakes_name_the_place(tmp_path, name, content, where, what):
    with pytest.raises(DataError, match=what) as caught:
        read(write(tmp_path, name, content))
    assert caught.value.where == where


def test_reading_goes_on_after_a_record_that_cannot_be_read(tmp_path):
    found = list(records_of(write(tmp_path, "r.jsonl", b'{"a": 1}\n{"a"\n\xff\n{"a": 2}')))
    assert [where for where, _ in found] == [f"r.jsonl:{n}" for n in (1, 2, 3, 4)]
    assert [isinstance(record, DataError) for _, record in found] == [False, True, True, False]


def test_bad_rows_are_set_aside_with_place_and_reason_where_the_source_asks_for_it(tmp_path):
    path = write(tmp_path, "r.csv", b"prompt,completion\n,b\na,b\nc,\nd,e,f\ng,h\n")
    bad = []
    rows = read(path, bad, on_bad_row="set_aside")
    assert [row["completion"] for row in rows] == ["b", "h"]
    assert [row["origin"] for row in bad] == ["r.csv:2", "r.csv:4", "r.csv:5"]
    assert "no known format" in bad[0]["reason"]
    assert "no answer" in bad[1]["reason"]
    assert "3 cells" in bad[2]["reason"]
    with pytest.raises(DataError, match="no known format"):
        read(path)


def test_a_file_of_bad_rows_alone_is_refused(tmp_path):
    path = write(tmp_path, "r.csv", b"prompt,completion\na,\nb,\n")
    with pytest.raises(DataError, match="no row can be used; the first: the row has no answer") as caught:
        read(path, [], on_bad_row="set_aside")
    assert caught.value.where == "r.csv:2"
