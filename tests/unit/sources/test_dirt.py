"""Dirt: the faults asked for, no more, the same for the same seed."""

from pathlib import Path

import pytest

from kt_assets.sources.dirt import OVER_LONG_WORDS, add_dirt
from kt_assets.sources.reasoning_gym import evaluation_rows
from kt_assets.sources.records import raw_records, to_jsonl, to_record, to_row
from kt_resources.errors import DataError
from kt_resources.recipes.data import Dirt, EvalData, Family, ReasoningGymSource
from kt_resources.store.schemas import example_row, prompt_key

DIRT = {"exact_duplicates": 4, "near_duplicates": 3, "empty": 2, "over_long": 1, "leaked": 5, "emails": 6}
FAMILIES = {"chain_sum": Family(config={"min_terms": 4, "max_terms": 5, "min_digits": 3})}


@pytest.fixture(scope="module")
def held_out():
    return evaluation_rows(EvalData(families=FAMILIES, num_items=6, seed=9))


def source(**options):
    given = {"type": "reasoning_gym", "name": "sums", "num_rows": 40, "families": FAMILIES, "dirt": DIRT}
    return ReasoningGymSource(**(given | options))


def test_the_counts_are_those_asked_for(held_out):
    records = raw_records(source(), held_out, Path())
    faults = [record["origin"].split(" of ")[0] for record in records]
    assert len(records) == 40 + 4 + 3 + 2 + 1 + 5  # e-mail addresses go into rows that stand there
    assert faults.count("dirt: exact duplicate") == 4
    assert faults.count("dirt: near duplicate") == 3
    assert sum(not record["completion"].strip() for record in records) == 2
    assert sum(len(record["completion"].split()) > OVER_LONG_WORDS for record in records) == 1
    assert faults.count("dirt: leaked") == 5
    assert sum("@example.com" in record["prompt"][-1]["content"] for record in records) == 6


def test_leaks_are_evaluation_rows_verbatim_and_reworded(held_out):
    keys = {prompt_key(row) for row in held_out}
    leaks = [r for r in raw_records(source(), held_out, Path()) if r["origin"].startswith("dirt: leaked")]
    verbatim = [prompt_key(record) in keys for record in leaks]
    assert (sum(verbatim), len(leaks)) == (3, 5)
    assert all(record["completion"] == f"#### {record['answer']}" for record in leaks)
    assert {record["source"] for record in leaks} == {"sums"}


def test_exact_duplicates_have_the_id_of_their_model_and_near_ones_do_not(held_out):
    rows = [to_row(record) for record in raw_records(source(), held_out, Path())]
    clean = {row["id"] for row in rows if not row["origin"].startswith("dirt")}
    by_fault = {fault: [r["id"] in clean for r in rows if fault in r["origin"]] for fault in ("exact", "near")}
    assert by_fault == {"exact": [True] * 4, "near": [False] * 3}


def test_the_same_seed_gives_the_same_file(held_out):
    one, again = (to_jsonl(raw_records(source(), held_out, Path())) for _ in range(2))
    assert one == again
    assert one != to_jsonl(raw_records(source(seed=1), held_out, Path()))


def test_prompt_rows_stay_prompt_rows(held_out):
    records = raw_records(source(purpose="rl"), held_out, Path())
    assert {record["completion"] for record in records} == {None}
    assert sum(not record["prompt"][-1]["content"].strip() for record in records) == 2


def test_nothing_asked_for_changes_nothing():
    records = [to_record(example_row([{"role": "user", "content": "a"}], "b", source="s"))]
    assert add_dirt(records, [], Dirt(), 0) == records


def test_leaks_need_an_evaluation_set():
    with pytest.raises(DataError, match="no evaluation set"):
        add_dirt([], [], Dirt(leaked=1), 0)
