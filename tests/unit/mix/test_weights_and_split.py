"""Sampling by weight and splitting by prompt."""

import pytest

from kt_assets.mix.build import build_prompts, select_prompts
from kt_assets.mix.split import shared_prompts, split_by_prompt
from kt_assets.mix.weights import apportion, sample_by_weight
from kt_resources.errors import DataError
from kt_resources.recipes.datasets import Prompts
from kt_resources.store.schemas import example_row


def row(question, completion="ok", source="a"):
    return example_row([{"role": "user", "content": str(question)}], completion, source=source)


@pytest.mark.parametrize(
    ("total", "weights", "counts"),
    [
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),  # 3.33 each; the one left goes to the first
        (10, {"a": 0.7, "b": 0.2, "c": 0.1}, {"a": 7, "b": 2, "c": 1}),
        (5, {"a": 2, "b": 1}, {"a": 3, "b": 2}),  # 3.33 and 1.67: the larger remainder is b's
        (1, {"a": 0.4, "b": 0.6}, {"a": 0, "b": 1}),
        (0, {"a": 1}, {"a": 0}),
    ],
)
def test_largest_remainder(total, weights, counts):
    assert apportion(total, weights) == counts


def test_weights_decide_and_the_heaviest_source_is_used_up():
    rows = {"a": [row(i) for i in range(90)], "b": [row(i, source="b") for i in range(50)]}
    sampled = sample_by_weight(rows, {"a": 0.9, "b": 0.1}, None, 0)
    assert sampled.taken == {"a": 90, "b": 10}  # 90 / 0.9 = 100 rows in all
    assert len({one["id"] for one in sampled.rows}) == 100 - 10  # b asks what a asks, so its ten ids are a's
    assert sampled.notes == []


def test_a_source_that_runs_short_is_told():
    rows = {"a": [row(i) for i in range(8)], "b": [row(100, source="b")]}
    sampled = sample_by_weight(rows, {"a": 0.5, "b": 0.5}, 8, 0)
    assert sampled.taken == {"a": 4, "b": 1}
    assert sampled.notes == ["b ran short: 1 of 4 rows"]
    assert sample_by_weight({"a": rows["a"]}, {"a": 0.5, "b": 0.5}, None, 0).notes == ["b ran short: 0 of 8 rows"]


def test_the_seed_decides_which_and_in_what_order():
    rows = {"a": [row(i) for i in range(50)]}
    one, again, other = (sample_by_weight(rows, {"a": 1}, 10, seed).rows for seed in (0, 0, 1))
    assert one == again != other


def test_no_rows_at_all_is_an_error():
    with pytest.raises(DataError, match="none of the mix's sources has a row"):
        sample_by_weight({}, {"a": 1}, None, 0)


def test_a_prompt_never_stands_on_both_sides():
    rows = [row(question, f"answer {n}") for question in range(20) for n in range(3)]
    train, validation = split_by_prompt(rows, fraction=0.1, seed=0)
    assert (len(train), len(validation)) == (54, 6)  # two of twenty prompts, three rows each
    assert shared_prompts(train, validation) == 0
    assert shared_prompts(train, train[:1]) == 1


def test_more_rows_move_few_across():
    rows = [row(question) for question in range(200)]
    before = {one["id"] for one in split_by_prompt(rows[:190], fraction=0.1)[1]}
    after = {one["id"] for one in split_by_prompt(rows, fraction=0.1)[1]}
    assert len(before - after) <= 3 and len(before) == 19


def test_at_least_one_and_never_all():
    assert len(split_by_prompt([row(1), row(2)], fraction=0.01)[1]) == 1
    with pytest.raises(DataError, match="1 distinct prompts, of which 1"):
        split_by_prompt([row(1), row(1, "other")], fraction=0.5)
    with pytest.raises(DataError, match="of which 3"):
        split_by_prompt([row(1), row(2)], count=3)


def test_prompts_of_the_purposes_sources_without_completions():
    rows = [row(i, "done", source) for i in range(10) for source in ("rl_tasks", "other")]
    train, validation = build_prompts(rows, Prompts(type="prompts", num_rows=8, validation_rows=3), ["rl_tasks"])
    assert (len(train), len(validation)) == (5, 3)
    assert {one["source"] for one in train} == {"rl_tasks"}
    assert {one["completion"] for one in [*train, *validation]} == {None}
    named = Prompts(type="prompts", sources=["other"], validation_rows=1)
    assert {one["source"] for one in build_prompts(rows, named, ["rl_tasks"])[0]} == {"other"}


def test_no_prompt_is_an_error():
    with pytest.raises(DataError, match="no prompt"):
        select_prompts([row(1)], ["rl_tasks"], None, 0)
