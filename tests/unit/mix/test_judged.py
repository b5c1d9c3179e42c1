"""A person's judgements: pairs and labels from files, each knowing its row; one without a judgement is named."""

import pytest

from kt_assets.curation.pipeline import curate
from kt_assets.mix.build import select_prompts
from kt_assets.mix.judged import judged_rows, judgement_facts
from kt_resources.errors import DataError
from kt_resources.recipes.data import Curation
from kt_resources.store.schemas import changed_row, example_row
from kt_resources.verifiers import Exact


def row(question, completion, source="mine", **more):
    return example_row([{"role": "user", "content": question}], completion, source=source, origin="m.jsonl:3", **more)


PAIRS = [row(f"Question {n}?", f"good {n}", rejected=f"bad {n}", answer="a") for n in range(6)]
LABELS = [row(f"Question {n}?", f"answer {n}", label=n % 3 == 0) for n in range(6)]


def test_a_pair_prefers_what_the_person_chose_and_knows_its_row():
    pairs = judged_rows(PAIRS, "pairs", ["mine"], None, seed=0)
    assert len(pairs) == 6
    for pair in pairs:
        number = pair["prompt"][0]["content"][len("Question ")]
        assert (pair["chosen"], pair["rejected"]) == (f"good {number}", f"bad {number}")
        assert (pair["chosen_score"], pair["rejected_score"]) == (1.0, 0.0)
        assert pair["parents"] == [PAIRS[int(number)]["id"]]
    assert [pair["id"] for pair in pairs] == [pair["id"] for pair in judged_rows(PAIRS, "pairs", ["mine"], None, 0)]
    assert len(judged_rows(PAIRS, "pairs", ["mine"], 4, seed=0)) == 4


def test_labels_are_the_persons():
    labels = judged_rows(LABELS, "labels", ["mine"], None, seed=0)
    assert judgement_facts(labels, "label")["num_desirable"] == 2  # 0 and 3
    assert judgement_facts(labels, "label")["num_undesirable"] == 4


@pytest.mark.parametrize(("rows", "kind", "column"), [(PAIRS, "labels", "label"), (LABELS, "pairs", "rejected")])
def test_a_row_without_that_judgement_is_named(rows, kind, column):
    with pytest.raises(DataError, match=f"mine: m.jsonl:3: the row has no '{column}'"):
        judged_rows(rows, kind, ["mine"], None, seed=0)
    with pytest.raises(DataError, match=f"no {kind}"):
        judged_rows(rows, kind, ["other"], None, seed=0)


def test_the_rejected_answer_is_part_of_the_row():
    assert PAIRS[0]["id"] != row("Question 0?", "good 0")["id"] != row("Question 0?", "good 0", label=True)["id"]
    assert changed_row(PAIRS[0], completion="better")["rejected"] == "bad 0"


def test_curation_judges_both_answers():
    rows = [
        *PAIRS,
        row("An empty one?", "good", rejected="  "),
        row("The same twice?", "good", rejected="good"),
        row("Too long?", "good", rejected="word " * 300),
        row("Whom to ask?", "Nobody.", rejected="Ask ada@example.com."),
    ]

    def words(one):
        return len((one["completion"] + " " + (one["rejected"] or "")).split())

    curated = curate(rows, [], words, Curation(max_tokens=200))
    assert curated.counts_by_reason == {"empty_rejected": 1, "equal_answers": 1, "too_many_tokens": 1}
    masked = next(one for one in curated.kept if one["completion"] == "Nobody.")
    assert masked["rejected"] == "Ask <email>."
    assert masked["parents"] == [rows[-1]["id"]]


def test_a_prompt_taken_from_a_judged_row_has_no_answers():
    (prompt, *_) = select_prompts(PAIRS, ["mine"], None, seed=0)
    assert (prompt["completion"], prompt["rejected"], prompt["label"]) == (None, None, None)


def test_a_prompt_row_takes_its_answer_from_the_completion_that_it_loses():
    taught = [row("What is 3 + 4?", "Three and four. #### 7")]
    (prompt,) = select_prompts(taught, ["mine"], None, 0, Exact(type="exact"))
    assert (prompt["completion"], prompt["answer"]) == (None, "7")
    wrong = [row("What is 3 + 4?", "#### 8", label=False)]
    with pytest.raises(DataError, match=r"mine: m.jsonl:3: the row has no 'answer'"):
        select_prompts(wrong, ["mine"], None, 0, Exact(type="exact"))
