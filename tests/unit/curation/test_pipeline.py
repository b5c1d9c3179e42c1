"""The whole of curation on dirty generated rows: all of the dirt goes, none of the rest, every row accounted for."""

from pathlib import Path

import pytest

from kt_assets.curation.pipeline import curate, reasons_table
from kt_assets.sources.reasoning_gym import evaluation_rows
from kt_assets.sources.records import raw_records, to_row
from kt_resources.recipes.data import Curation, Decontamination, EvalData, Family, ReasoningGymSource
from kt_resources.store.schemas import example_row, prompt_key

DIRT = {"exact_duplicates": 8, "near_duplicates": 8, "empty": 5, "over_long": 3, "leaked": 6, "emails": 7}
FAMILIES = {
    "chain_sum": Family(config={"min_terms": 4, "max_terms": 5, "min_digits": 3}),
    "gcd": Family(config={"min_value": 10_000, "max_value": 99_999}),
}


def words(row):
    return sum(len(text.split()) for text in (row["prompt"][-1]["content"], row["completion"] or ""))


@pytest.fixture(scope="module")
def held_out():
    return evaluation_rows(EvalData(families=FAMILIES, num_items=20, seed=9))


@pytest.fixture(scope="module")
def raw(held_out):
    source = ReasoningGymSource(
        type="reasoning_gym", name="sums", num_rows=200, answer_style="worked", families=FAMILIES, dirt=DIRT
    )
    return [to_row(record) for record in raw_records(source, held_out, Path())]


@pytest.fixture(scope="module")
def curated(raw, held_out):
    return curate(raw, held_out, words, Curation(max_tokens=300))


def test_each_kind_of_dirt_goes_for_its_own_reason(curated):
    assert curated.counts_by_reason == {
        "short_completion": 5,
        "exact_duplicate": 8,
        "near_duplicate": 8,
        "in_evaluation_set": 3,  # every other leak is verbatim
        "overlaps_evaluation": 3,  # the others are reworded
        "too_many_tokens": 3,
    }


def test_what_was_not_dirt_is_kept(raw, curated):
    # a copy may stand before its model, which then goes as the duplicate; so count rows, not ids
    assert len(curated.kept) == 200
    assert len(curated.kept) + len(curated.removed) == len(raw)


def test_addresses_are_masked_and_the_raw_row_is_the_parent(raw, curated):
    ids = {row["id"] for row in raw}
    masked = [row for row in curated.kept if "<email>" in row["prompt"][-1]["content"]]
    assert (curated.num_masked, curated.num_addresses, len(masked)) == (7, 7, 7)
    assert all(len(row["parents"]) == 1 and row["parents"][0] in ids for row in masked)
    assert not any("@" in row["prompt"][-1]["content"] for row in [*curated.kept, *curated.removed])


def test_no_kept_prompt_stands_in_the_evaluation(curated, held_out):
    assert not {prompt_key(row) for row in curated.kept} & {prompt_key(row) for row in held_out}


def test_removed_rows_say_why_in_detail(curated):
    assert all(row["reason"] and row["detail"] for row in curated.removed)


def test_switched_off_filters_let_rows_pass(raw, held_out):
    config = Curation(max_tokens=100_000, near_duplicates=None, decontamination=None, mask_emails=False)
    result = curate(raw, held_out, words, config)
    assert set(result.counts_by_reason) == {"short_completion", "exact_duplicate", "in_evaluation_set"}
    assert result.num_masked == 0
    assert any("@example.com" in row["prompt"][-1]["content"] for row in result.kept)


def test_purposes_are_kept_apart_only_where_they_are_given():
    def ask(source, completion):
        return example_row([{"role": "user", "content": "What is 2 + 3?"}], completion, source=source, origin="o")

    rows = [ask("a", "five"), ask("b", None)]
    config = Curation(decontamination=Decontamination())
    assert curate(rows, [], words, config).counts_by_reason == {}
    assert curate(rows, [], words, config, {"a": "train", "b": "rl"}).counts_by_reason == {"prompt_of_other_purpose": 1}


def test_no_rows_are_no_rows():
    assert curate([], [], words, Curation()).kept == []


def test_the_table_counts_every_reason_and_what_is_kept(curated):
    lines = reasons_table(curated).splitlines()
    assert lines[2].startswith("| exact_duplicate | 8 |")  # the most frequent first
    assert lines[-1] == "| **kept** | **200 of 230** | |"
    assert len(lines) == 2 + len(curated.counts_by_reason) + 1
