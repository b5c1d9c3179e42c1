"""Tables come back as they were written, and the same rows make the same bytes."""

import pytest

from kt_resources.errors import DataError
from kt_resources.store.schemas import changed_row, example_row, pair_row, prompt_key, prompt_text
from kt_resources.store.tables import iter_rows, read_rows, write_rows

PROMPT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2 + 3 ="}]
ROW = example_row(PROMPT, "#### 5", source="sums", family="chain_sum", answer="5", parents=["p"], origin="a.jsonl:1")


def test_rows_come_back_as_they_were(tmp_path):
    prompt_row = example_row(PROMPT, None, source="sums")
    assert write_rows(tmp_path / "deep" / "t.parquet", [ROW, prompt_row], "example") == 2
    assert read_rows(tmp_path / "deep" / "t.parquet") == [ROW, prompt_row]
    assert read_rows(tmp_path / "deep" / "t.parquet", ["id"]) == [{"id": ROW["id"]}, {"id": prompt_row["id"]}]


def test_the_same_rows_make_the_same_bytes(tmp_path):
    for name in "ab":
        write_rows(tmp_path / name, iter([ROW] * 3), "example")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_more_rows_than_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr("kt_resources.store.tables.ROWS_A_GROUP", 2)
    assert write_rows(tmp_path / "t", [ROW | {"origin": str(i)} for i in range(5)], "example") == 5
    assert [row["origin"] for row in iter_rows(tmp_path / "t")] == list("01234")


def test_an_empty_table_has_its_columns(tmp_path):
    assert write_rows(tmp_path / "t", [], "pair") == 0
    assert read_rows(tmp_path / "t", ["chosen", "rejected"]) == []


def test_other_columns_and_types_name_the_row(tmp_path):
    with pytest.raises(DataError, match=f"lacks family; has unknown famly.*|row {ROW['id']}"):
        write_rows(tmp_path / "t", [{k.replace("family", "famly"): v for k, v in ROW.items()}], "example")
    with pytest.raises(DataError, match="another type"):
        write_rows(tmp_path / "t", [ROW | {"answer": 5}], "example")


def test_no_file_no_parquet_no_column(tmp_path):
    with pytest.raises(DataError, match="no such table"):
        read_rows(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DataError, match="no Parquet"):
        read_rows(tmp_path / "text")
    write_rows(tmp_path / "t", [ROW], "example")
    with pytest.raises(DataError, match="no column reward"):
        read_rows(tmp_path / "t", ["reward"])


def test_the_id_is_made_of_prompt_and_completion_alone():
    assert ROW["id"] == example_row(PROMPT, " ####  5 ", source="other", answer="6")["id"]
    assert ROW["id"] != example_row(PROMPT, None, source="sums")["id"]
    assert ROW["id"] != example_row(PROMPT, "#### 6", source="sums")["id"]


def test_a_changed_row_is_a_child_only_where_its_id_changed():
    assert changed_row(ROW, completion="#### 6")["parents"] == [ROW["id"]]
    assert changed_row(ROW, completion=" #### 5")["parents"] == ["p"]
    assert changed_row(ROW, answer="6")["answer"] == "6"


def test_the_prompt_key_looks_past_system_message_and_case():
    other = example_row([{"role": "user", "content": "2 +  3 ="}], "five", source="x")
    assert prompt_key(ROW) == prompt_key(other) != prompt_key(example_row([PROMPT[0]], None, source="x"))
    assert prompt_text(ROW) == "2 + 3 ="


def test_a_pair_knows_its_prompt_row():
    pair = pair_row(ROW, ("#### 5", 1), ("#### 6", 0))
    assert (pair["chosen"], pair["rejected"], pair["parents"]) == ("#### 5", "#### 6", [ROW["id"]])
    assert (pair["chosen_score"], pair["rejected_score"]) == (1.0, 0.0)
