"""Rejection sampling, few-shot prompts and on-policy pairs on scores that the test gives."""

import pytest

from kt_assets.sources.reasoning_gym import evaluation_rows, generated_prompts
from kt_assets.synthetic.completions import Candidate, candidates_by_id, with_references
from kt_assets.synthetic.few_shot import choose_few_shot, with_few_shot, without_shots
from kt_assets.synthetic.pairs import build_pairs
from kt_assets.synthetic.prompts import synthetic_prompts
from kt_assets.synthetic.reject import accept
from kt_resources.recipes.data import EvalData, Family, GeneratedPrompts, Synthetic
from kt_resources.recipes.datasets import OnPolicyPairs
from kt_resources.store.schemas import example_row, prompt_key

SYSTEM = {"role": "system", "content": "S"}
SCORES = {"right": 1.0, "also right": 1.0, "half": 0.5, "nearly half": 0.45, "wrong": 0.0, "also wrong": 0.0}


def verify(text, row):
    return SCORES[" ".join(text.split())]


def ask(question, completion=None, family="f"):
    turns = [SYSTEM, {"role": "user", "content": question}]
    return example_row(turns, completion, source="s", family=family, answer="a", verification="v", origin=question)


def candidates(row, *texts):
    return {row["id"]: [Candidate(text) for text in texts]}


def synthetic(**options):
    prompts = {"type": "reasoning_gym", "num_prompts": 4, "seed": 2}
    return Synthetic(**({"prompts": prompts} | options))


def pairs(row, *texts, **options):
    config = OnPolicyPairs(**({"type": "on_policy_pairs", "policy": "sft"} | options))
    return build_pairs([row], candidates(row, *texts), verify, config)


# completions


def test_completions_go_back_to_their_prompts_in_order():
    table = [{"id": "x", "completion": " a "}, {"id": "y", "completion": "b", "finished": False}]
    found = candidates_by_id([*table, {"id": "x", "completion": "c", "finished": True}])
    assert found == {"x": [Candidate("a"), Candidate("c")], "y": [Candidate("b", finished=False)]}


# rejection sampling


def test_what_the_verifier_accepts_is_kept_once_with_its_parents():
    row = ask("q")
    shots = choose_few_shot([ask("shown", "so")], 3, 0)
    accepted = accept([row], candidates(row, "wrong", "right", "right", "also right"), verify, synthetic(), shots)
    assert [new["completion"] for new in accepted.rows] == ["right"]
    assert accepted.counts == {"rejected": 1, "accepted": 1, "repeated": 1, "over_max_per_prompt": 1}
    (new,) = accepted.rows
    assert new["parents"] == [row["id"], ask("shown", "so")["id"]]
    assert new["prompt"] == row["prompt"]  # the few-shot turns are not part of it
    assert (new["source"], new["answer"], new["verification"]) == ("synthetic", "a", "v")
    assert (accepted.by_family, accepted.acceptance_rate) == ({"f": (3, 4)}, 0.75)


def test_more_than_one_a_prompt_where_asked():
    row = ask("q")
    accepted = accept([row], candidates(row, "right", "right", "also right"), verify, synthetic(max_per_prompt=2))
    assert [new["completion"] for new in accepted.rows] == ["right", "also right"]
    assert accepted.scores == [1.0, 1.0]


def test_a_right_answer_that_was_cut_off_is_not_taken():
    row = ask("q")
    accepted = accept([row], {row["id"]: [Candidate("right", finished=False)]}, verify, synthetic())
    assert (accepted.rows, accepted.counts, accepted.acceptance_rate) == ([], {"unfinished": 1}, 0.0)


def test_the_score_to_reach():
    row = ask("q")
    assert accept([row], candidates(row, "half"), verify, synthetic()).counts == {"rejected": 1}
    assert accept([row], candidates(row, "half"), verify, synthetic(min_score=0.5)).counts == {"accepted": 1}


def test_rates_are_told_by_family():
    one, two = ask("q", family="f"), ask("r", family="g")
    both = candidates(one, "right", "wrong") | candidates(two, "wrong", "wrong")
    accepted = accept([one, two, ask("unanswered")], both, verify, synthetic())
    assert accepted.by_family == {"f": (1, 2), "g": (0, 2)}
    assert accepted.acceptance_rate == 0.25
    assert accept([], {}, verify, synthetic()).acceptance_rate == 0.0


# few-shot


def test_examples_are_of_the_family_and_the_same_for_all_its_prompts():
    curated = [ask(f"q{i}", f"c{i}", family) for i in range(6) for family in ("f", "g")]
    shots = choose_few_shot([*curated, ask("no answer"), ask("none", None, "h")], 2, 0)
    assert set(shots) == {"f", "g"}
    assert shots == choose_few_shot(curated, 2, 0) != choose_few_shot(curated, 2, 1)
    messages = with_few_shot(ask("new"), shots["f"])
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert messages[-1]["content"] == "new"
    assert with_few_shot(ask("new"), None) == ask("new")["prompt"]


def test_a_prompt_that_is_an_example_is_not_asked():
    shots = choose_few_shot([ask("q", "c")], 1, 0)
    assert without_shots([ask("Q"), ask("r")], shots) == [ask("r")]


# prompts

FAMILIES = {"gcd": Family(config={"min_value": 2, "max_value": 30})}


def test_fresh_prompts_are_held_out_from_nothing_else():
    held_out = evaluation_rows(EvalData(families=FAMILIES, num_items=40, seed=3))
    config = GeneratedPrompts(type="reasoning_gym", families=FAMILIES, num_prompts=200, seed=2)
    fresh = generated_prompts(config, "x")
    rows, removed = synthetic_prompts(config, fresh[:10], held_out, None, [])
    keys = [prompt_key(row) for row in rows]
    assert len(keys) == len(set(keys)) == 200 - sum(removed.values())
    assert not set(keys) & {prompt_key(row) for row in [*held_out, *fresh[:10]]}
    assert removed["asked_already"] >= 10 and removed["in_evaluation_set"] >= 1


def test_curated_prompts_are_answered_anew():
    from kt_resources.recipes.data import CuratedPrompts

    curated = [ask(f"q{i}", "old") for i in range(5)]
    rows, removed = synthetic_prompts(CuratedPrompts(type="curated", num_prompts=3), curated, [], None, ["s"])
    assert (len(rows), removed, {row["completion"] for row in rows}) == (3, {}, {None})


# pairs


def test_best_against_worst():
    result = pairs(ask("q"), "half", "wrong", "right")
    (pair,) = result.rows
    assert (pair["chosen"], pair["chosen_score"]) == ("right", 1.0)
    assert (pair["rejected"], pair["rejected_score"]) == ("wrong", 0.0)
    assert pair["parents"] == [ask("q")["id"]]
    assert result.counts == {"paired": 1}


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        ((), "no_completions"),
        (("",), "no_completions"),
        (("right", "right"), "identical_texts"),
        (("wrong", "wrong", "wrong"), "identical_texts"),
        (("right", "also right"), "all_right"),
        (("wrong", "also wrong"), "all_wrong"),
        (("half", "nearly half"), "tie"),  # 0.5 - 0.45 < 0.1
    ],
)
def test_no_pair_has_its_reason(texts, outcome):
    result = pairs(ask("q"), *texts)
    assert (result.rows, result.counts) == ([], {outcome: 1})


def test_a_smaller_margin_pairs_what_was_a_tie():
    assert pairs(ask("q"), "half", "nearly half", min_margin=0.04).counts == {"paired": 1}


def test_several_pairs_never_share_a_side_nor_turn_round():
    texts = ("right", "wrong", "also right", "also wrong", "half")
    result = pairs(ask("q"), *texts, max_pairs_per_prompt=4)
    assert [(pair["chosen"], pair["rejected"]) for pair in result.rows] == [
        ("right", "wrong"),
        ("also right", "also wrong"),
    ]
    assert len({pair["id"] for pair in result.rows}) == 2


def test_answers_that_differ_in_white_space_alone_are_one():
    result = pairs(ask("q"), "also right", "also  right", "also wrong", "also\nwrong", max_pairs_per_prompt=4)
    assert [(pair["chosen"], pair["rejected"]) for pair in result.rows] == [("also right", "also wrong")]


def test_a_cut_off_answer_is_a_wrong_one():
    row = ask("q")
    config = OnPolicyPairs(type="on_policy_pairs", policy="sft")
    result = build_pairs([row], {row["id"]: [Candidate("right", finished=False), Candidate("half")]}, verify, config)
    assert [(pair["chosen"], pair["rejected"]) for pair in result.rows] == [("half", "right")]


def test_the_sources_own_answer_makes_a_pair_where_the_policy_is_never_right():
    asked, unanswered = ask("q", "right"), ask("p")
    sampled = candidates(asked, "wrong") | candidates(unanswered, "half")
    found = with_references(sampled, [asked, unanswered])
    assert found == {asked["id"]: [Candidate("wrong"), Candidate("right")], unanswered["id"]: [Candidate("half")]}
    config = OnPolicyPairs(type="on_policy_pairs", policy="sft", num_samples=1, with_reference=True)
    (pair,) = build_pairs([asked], found, verify, config).rows
    assert (pair["chosen"], pair["rejected"]) == ("right", "wrong")


def test_the_policys_own_right_answer_is_preferred_to_the_reference():
    asked = ask("q", "right")
    found = with_references(candidates(asked, "wrong", "also right"), [asked])
    config = OnPolicyPairs(type="on_policy_pairs", policy="sft", with_reference=True)
    (pair,) = build_pairs([asked], found, verify, config).rows
    assert (pair["chosen"], pair["rejected"]) == ("also right", "wrong")


def test_one_completion_alone_makes_no_pair():
    with pytest.raises(ValueError, match="with_reference"):
        OnPolicyPairs(type="on_policy_pairs", policy="sft", num_samples=1)


def test_no_more_pairs_than_asked_for():
    rows = [ask(f"q{i}") for i in range(5)]
    given = {key: value for row in rows for key, value in candidates(row, "right", "wrong").items()}
    config = OnPolicyPairs(type="on_policy_pairs", policy="sft", max_pairs=3)
    result = build_pairs(rows, given, verify, config)
    assert (len(result.rows), result.counts) == (3, {"paired": 3, "over_max_pairs": 2})
