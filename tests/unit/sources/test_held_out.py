"""Held-out items of a person's own: which rows are held out, and that curation keeps them and their like away."""

import json

import pytest
from pydantic import TypeAdapter

from kt_assets.curation.pipeline import curate
from kt_assets.sources.held_out import file_items, split_items, task_name
from kt_resources.errors import DataError
from kt_resources.recipes.data import Curation
from kt_resources.recipes.held_out import FileTasks, HeldOut
from kt_resources.store.schemas import example_row, prompt_key
from kt_resources.verifiers import Exact, NoVerifier, Python, Verifier

CURATION = Curation()
TASKS = HeldOut(type="held_out", fraction=0.25)
NONE = NoVerifier()
PARTS = ("pump", "valve", "gearbox", "fan", "boiler", "crane", "press", "mixer", "furnace", "chiller")
FAULTS = ("leaks oil at the shaft seal", "trips its breaker after ten minutes", "hums loudly when it starts cold")


def words(row):
    return sum(len(message["content"].split()) for message in row["prompt"])


def row(question, completion="done", source="notes", **more):
    return example_row([{"role": "user", "content": question}], completion, source=source, family=source, **more)


def rows():
    questions = [f"The {part} in hall {n} {fault}." for n, part in enumerate(PARTS) for fault in FAULTS]
    return [row(text, f"Order {n}", origin=f"notes.jsonl:{n}") for n, text in enumerate(questions, start=1)]


def split(found, tasks=TASKS, verifier=NONE, sources=("notes",)):
    return split_items(found, sources, tasks, verifier, CURATION, words)


def test_a_share_of_the_prompts_of_each_source_is_held_out():
    other = [row(f"Question number {n} of the second file", source="more") for n in range(8)]
    items = split([*rows(), *other], sources=("notes", "more")).items
    assert [item["source"] for item in items].count("notes") == 8  # a quarter of 30, rounded
    assert [item["source"] for item in items].count("more") == 2
    assert len(split(rows(), HeldOut(type="held_out", fraction=0.25, num_items=3)).items) == 3


def test_the_seed_chooses_and_a_new_row_moves_few():
    one = {item["id"] for item in split(rows()).items}
    assert one == {item["id"] for item in split(rows()).items}
    assert one != {item["id"] for item in split(rows(), HeldOut(type="held_out", fraction=0.25, seed=1)).items}
    more = {item["id"] for item in split([*rows(), row("The lift in hall 11 stops between two floors.")]).items}
    assert len(one - more) <= 1


def test_a_prompt_is_held_out_once_whatever_its_answers():
    twice = [*rows(), *(one | {"completion": "another", "id": f"{n:016x}"} for n, one in enumerate(rows()))]
    keys = [prompt_key(item) for item in split(twice).items]
    assert len(keys) == len(set(keys)) == 8


def test_no_row_like_a_held_out_one_reaches_training():
    found = rows()
    items = split(found).items
    asked = items[0]["prompt"][0]["content"]
    copies = [
        row(f"  {asked.upper()} ", "the same prompt with another answer", origin="same"),
        row(f"Please note: {asked} Thanks.", "nearly the same prompt", origin="near"),
        row(asked.replace("The ", "That old ", 1), "one word changed", origin="reworded"),
    ]
    result = curate([*found, *copies], items, words, CURATION)
    kept, removed = ({one["origin"] for one in side} for side in (result.kept, result.removed))
    assert {"same", "near", "reworded"} <= removed
    assert not {prompt_key(one) for one in result.kept} & {prompt_key(item) for item in items}
    # and the others stay, though every row shares its fault or its part with held-out ones
    assert len(kept) == len(found) - len(items)


def test_addresses_are_masked_before_prompts_are_compared():
    found = [row(f"Write to sam{n}@example.com about order {n}.", origin=str(n)) for n in range(8)]
    items = split(found).items
    assert all("<email>" in item["prompt"][0]["content"] for item in items)
    result = curate(found, items, words, CURATION)
    assert len(result.kept) == 6
    assert not {prompt_key(one) for one in result.kept} & {prompt_key(item) for item in items}


def test_what_is_passed_over_is_counted():
    turns = [{"role": role, "content": "Hi"} for role in ("user", "assistant", "user")]
    unfit = [example_row(turns, "Hello", source="notes"), row("??"), row("word " * 600)]
    found = split([*rows(), *unfit])
    assert found.passed_over == {"several_turns": 1, "short_prompt": 1, "too_many_tokens": 1}


def test_the_answer_is_what_the_marker_finds():
    marked = [row(f"What is {n} times two?", f"Twice {n}. #### {2 * n}") for n in range(12)]
    items = split(marked, verifier=Exact(type="exact")).items
    assert all(int(item["answer"]) == 2 * int(item["prompt"][0]["content"].split()[2]) for item in items)


def test_rows_without_a_marker_are_no_items_and_the_mend_is_named():
    with pytest.raises(DataError, match=r"no_answer 30.*\n.*answer_marker"):
        split(rows(), verifier=Exact(type="exact"))


def test_a_scorer_of_ones_own_needs_no_answer():
    prompts = [row(one["prompt"][0]["content"], None) for one in rows()]
    scorer = Python(type="python", path="rewards.py:score")
    assert len(split(prompts, verifier=scorer).items) == 8
    assert {item["answer"] for item in split(prompts, verifier=scorer).items} == {None}


def test_items_of_a_file(tmp_path):
    lines = [
        {"prompt": "2 + 2?", "answer": 4, "family": "Easy sums"},
        {"prompt": "2 + 2?", "completion": "#### 4"},
        {"prompt": "3 + 3?", "completion": "Three and three. #### 6"},
    ]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tasks = FileTasks(type="file", path="exam.jsonl", system="Sums.")
    items = file_items(tmp_path / "exam.jsonl", tasks, Exact(type="exact"), [])
    assert [(item["answer"], item["family"]) for item in items] == [("4", "Easy_sums"), ("6", "evaluation")]
    assert items[0]["prompt"][0] == {"role": "system", "content": "Sums."}


def test_an_item_of_a_file_without_an_answer_is_refused(tmp_path):
    (tmp_path / "exam.jsonl").write_text('{"prompt": "2 + 2?"}\n')
    tasks = FileTasks(type="file", path="exam.jsonl")
    with pytest.raises(DataError, match=r"exam.jsonl:1: the row has no 'answer'"):
        file_items(tmp_path / "exam.jsonl", tasks, Exact(type="exact"), [])


def test_a_family_becomes_the_name_of_a_task():
    assert task_name("Order status / open") == "Order_status_open"


def test_of_a_weighted_verifier_every_part_finds_what_it_compares_with():
    parts = [{"verifier": {"type": "exact"}}, {"verifier": {"type": "json_schema"}}]
    both = TypeAdapter(Verifier).validate_python({"type": "weighted", "parts": parts})
    found = [one | {"completion": f"so #### {n}", "verification": "{}"} for n, one in enumerate(rows())]
    found[0]["verification"] = None
    items = split(found, verifier=both)
    assert items.passed_over == {"no_verification": 1}
    assert all(item["answer"].isdecimal() for item in items.items)
