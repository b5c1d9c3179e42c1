"""Workings: each step is right, and they end at the task's own answer."""

import pytest

from kt_assets.sources.reasoning_gym import task_rows
from kt_assets.sources.worked import WORKINGS, chain_sum, gcd, letter_counting, spell_backward, worked_answer
from kt_resources.errors import DataError
from kt_resources.recipes.data import Family


def test_running_totals():
    assert chain_sum({"expression": "4 - 1 - 7"}) == (["4 - 1 = 3", "3 - 7 = -4"], "-4")
    assert chain_sum({"expression": "12"}) == ([], "12")


def test_euclids_divisions():
    assert gcd({"numbers": [12, 30]}) == (["30 = 2 * 12 + 6", "12 = 2 * 6 + 0"], "6")
    # gcd(12, 30, 9) = gcd(6, 9) = 3
    assert gcd({"numbers": [12, 30, 9]})[0][2:] == ["9 = 1 * 6 + 3", "6 = 2 * 3 + 0"]
    assert gcd({"numbers": [12, 30, 9]})[1] == "3"


def test_letters_counted_word_by_word():
    metadata = {"span": ["Three", "kind", "trees"], "target_letter": "e"}
    assert letter_counting(metadata) == (["Three 2, trees 4"], "4")
    assert letter_counting({"span": ["kind"], "target_letter": "e"}) == ([], "0")


def test_letters_from_the_end():
    assert spell_backward({"word": "sun"}) == (["s u n", "n u s"], "nus")


@pytest.mark.parametrize("family", WORKINGS)
def test_every_working_comes_to_the_generators_answer(family):
    rows = list(task_rows(family, Family(), 40, 7, source="s", style="worked"))
    assert all(row["completion"].endswith(f"#### {row['answer']}") for row in rows)
    assert max(row["completion"].count("\n") for row in rows) >= 1


def test_a_working_that_comes_to_another_answer_is_an_error():
    with pytest.raises(DataError, match="comes to 5, its answer is 6"):
        worked_answer("chain_sum", {"answer": "6", "metadata": {"expression": "2 + 3"}}, "here")
