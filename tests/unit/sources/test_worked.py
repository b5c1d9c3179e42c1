"""Workings: each step is right, and they end at the task's own answer."""

import pytest

from kt_assets.sources.reasoning_gym import task_rows
from kt_assets.sources.worked import (
    WORKINGS,
    calendar_arithmetic,
    chain_sum,
    gcd,
    leg_counting,
    letter_counting,
    spell_backward,
    worked_answer,
)
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
    assert letter_counting(metadata) == (["Three 2, kind 2, trees 4"], "4")


def test_legs_animal_by_animal():
    # 3 crabs have 30 legs, 2 ants 12, a snake none: 30, 42, 42
    steps, answer = leg_counting({"animals": {"crab": 3, "ant": 2, "snake": 1}})
    assert steps == ["crab 3 * 10 = 30", "ant 2 * 6 = 12", "30 + 12 = 42", "snake 1 * 0 = 0", "42 + 0 = 42"]
    assert answer == "42"


def test_letters_from_the_end():
    assert spell_backward({"word": "sun"}) == (["s u n", "n u s"], "nus")


def test_weekdays_by_weeks_taken_off_and_then_day_by_day():
    # 2022-03-16 is a Wednesday; 16 = 7 + 7 + 2 days before it, and 14 = 7 + 7 days after it
    asked = {"task": "weekday_offset", "start_date": "2022-03-16"}
    assert calendar_arithmetic(asked | {"offset_days": -16}) == (
        ["16 - 7 = 9", "9 - 7 = 2", "0 Wed, 1 Tue, 2 Mon"],
        "Monday",
    )
    assert calendar_arithmetic(asked | {"offset_days": 14}) == (
        ["14 - 7 = 7", "7 - 7 = 0", "0 Wed"],
        "Wednesday",
    )
    # 1 February is 31 + 1 - 1 = 31 = 4 * 7 + 3 days after 1 January
    asked = {"task": "weekday_of_date_from_first_date", "first_day": "Sunday", "delta_days": 31}
    steps, answer = calendar_arithmetic(asked | {"target_date": "2022-02-01"})
    assert steps[:2] == ["31 + 1 - 1 = 31", "31 - 7 = 24"]
    assert steps[-1] == "0 Sun, 1 Mon, 2 Tue, 3 Wed"
    assert answer == "Wednesday"


@pytest.mark.parametrize(("year", "step", "answer"), [(1922, "22 = 5 * 4 + 2", "No"), (2000, "20 = 5 * 4 + 0", "Yes")])
def test_leap_years_by_two_digits(year, step, answer):
    assert calendar_arithmetic({"task": "is_leap_year", "year": year}) == ([step], answer)


def test_a_task_without_a_working_is_refused():
    with pytest.raises(DataError, match="no written working for count_days"):
        calendar_arithmetic({"task": "count_days"})


CONFIGS = {
    "calendar_arithmetic": {"tasks": ["weekday_offset", "weekday_of_date_from_first_date", "is_leap_year"]},
}


@pytest.mark.parametrize("family", WORKINGS)
def test_every_working_comes_to_the_generators_answer(family):
    rows = list(task_rows(family, Family(config=CONFIGS.get(family, {})), 40, 7, source="s", style="worked"))
    assert all(row["completion"].endswith(f"#### {row['answer']}") for row in rows)
    assert max(row["completion"].count("\n") for row in rows) >= 1


def test_a_working_that_comes_to_another_answer_is_an_error():
    with pytest.raises(DataError, match="comes to 5, its answer is 6"):
        worked_answer("chain_sum", {"answer": "6", "metadata": {"expression": "2 + 3"}}, "here")
