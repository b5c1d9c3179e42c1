"""Generated rows: verified, reproducible, apart by seed."""

import re

import pytest

from kt_assets.sources.reasoning_gym import (
    check_families,
    evaluation_rows,
    families_of,
    generated_prompts,
    source_rows,
    task_rows,
)
from kt_resources.errors import DataError
from kt_resources.recipes.data import EvalData, Family, GeneratedPrompts, ReasoningGymSource
from kt_resources.store.schemas import prompt_key
from kt_resources.verifiers import ReasoningGym, build_verifier

BIG = {"chain_sum": Family(config={"min_terms": 4, "max_terms": 5, "min_digits": 3, "max_digits": 4})}


def source(**options):
    return ReasoningGymSource(**({"type": "reasoning_gym", "name": "sums", "num_rows": 30, "seed": 1} | options))


def test_every_completion_passes_the_verifier_and_another_answer_does_not():
    verify = build_verifier(ReasoningGym(type="reasoning_gym"))
    rows = source_rows(source())
    assert len(rows) == 30
    assert sorted(families_of(rows)) == ["calendar_arithmetic", "chain_sum", "gcd"]
    assert all(verify(row["completion"], row) == 1.0 for row in rows)
    assert not any(verify("#### 123456789", row) for row in rows)


def test_the_same_seed_gives_the_same_rows_and_neighbours_share_none():
    one, again, two = (source_rows(source(families=BIG, seed=seed)) for seed in (1, 1, 2))
    assert one == again
    # reasoning-gym draws item i from Random(seed + i): passed on as they are, seeds 1 and 2 would share 29 of 30 rows
    assert not {prompt_key(row) for row in one} & {prompt_key(row) for row in two}


def test_rows_know_where_they_came_from():
    assert {row["origin"] for row in source_rows(source(families={"gcd": Family()}, num_rows=2))} == {
        "reasoning_gym/gcd seed=1 index=0",
        "reasoning_gym/gcd seed=1 index=1",
    }


def test_families_come_by_weight():
    rows = source_rows(source(families={"gcd": Family(weight=2), "chain_sum": Family()}))
    assert sum(row["family"] == "gcd" for row in rows) == 20  # 30 · 2/3


def test_prompts_have_no_completion_and_the_same_form_as_training_rows():
    train = source_rows(source(families=BIG))
    rl = source_rows(source(families=BIG, purpose="rl"))
    fresh = generated_prompts(GeneratedPrompts(type="reasoning_gym", families=BIG, num_prompts=30, seed=1), "synthetic")
    held_out = evaluation_rows(EvalData(families=BIG, num_items=4, seed=1))
    assert {row["completion"] for row in [*rl, *fresh, *held_out]} == {None}
    assert {row["source"] for row in fresh} == {"synthetic"}
    assert [row["prompt"] for row in rl] == [row["prompt"] for row in train] == [row["prompt"] for row in fresh]
    assert {tuple(m["role"] for m in row["prompt"]) for row in [*train, *held_out]} == {("system", "user")}


def test_evaluation_items_are_distinct_and_counted():
    few = {"gcd": Family(config={"min_value": 2, "max_value": 9}), "chain_sum": Family()}
    rows = evaluation_rows(EvalData(families=few, num_items=20, seed=3))
    assert [row["family"] for row in rows] == ["gcd"] * 20 + ["chain_sum"] * 20
    assert len({prompt_key(row) for row in rows}) == 40


def test_a_family_with_too_few_questions_says_so():
    tiny = {"gcd": Family(config={"min_value": 2, "max_value": 3})}  # 2, 3 in two places: four questions
    with pytest.raises(DataError, match="only 4 distinct questions among 250; 5 are wanted"):
        evaluation_rows(EvalData(families=tiny, num_items=5))


@pytest.mark.parametrize(
    ("families", "what"),
    [
        ({"chain_sums": Family()}, "no such family(.|\n)*chain_sum"),
        ({"gcd": Family(config={"max_numbrs": 3})}, "no option max_numbrs(.|\n)*max_numbers"),
        ({"gcd": Family(config={"seed": 3})}, "no option seed"),
        ({"gcd": Family(config={"min_numbers": 1})}, "min_numbers must be at least 2"),
    ],
)
def test_a_mistake_in_a_family_is_named_with_what_there_is(families, what):
    with pytest.raises(DataError, match=what):
        check_families(families)


def test_a_working_is_asked_for_where_there_is_none():
    with pytest.raises(DataError, match=r"no written working for lcm(.|\n)*answer_style: direct"):
        check_families({"lcm": Family()}, "worked")


def test_preference_rows_bring_their_own_answer_and_prompts_for_rl_none():
    assert all(row["completion"] == f"#### {row['answer']}" for row in source_rows(source(purpose="preference")))
    assert all(row["completion"] is None for row in source_rows(source(purpose="rl")))


def test_without_a_system_message_the_question_stands_alone():
    row = next(task_rows("gcd", Family(), 1, 0, source="s", style="direct"))
    assert [message["role"] for message in row["prompt"]] == ["user"]
    assert re.fullmatch(r"#### \d+", row["completion"])
