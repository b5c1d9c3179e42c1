import json
import sys

import pytest

from kt_assets.evaluate.tasks import item_of, write_tasks
from kt_resources.errors import DataError
from kt_resources.store.schemas import example_row
from kt_resources.verifiers import Exact, NoVerifier, Numeric


def row(question: str, answer: str = "4", family: str = "gcd", system: str | None = "Be brief.") -> dict:
    turns = [{"role": "system", "content": system}] if system else []
    prompt = [*turns, {"role": "user", "content": question}]
    return example_row(prompt, None, source="held_out", family=family, answer=answer, origin=f"made.jsonl:{answer}")


ROWS = [
    row("What is {{2}} + 2?"),
    row("And [1] + 2?", "[3]"),
    row("Which day?", "Monday", family="arithmetic", system=None),
]


def test_one_task_a_family_with_every_item(tmp_path):
    assert write_tasks(ROWS, Exact(type="exact"), tmp_path, 32) == {"arithmetic": 1, "gcd": 2}
    items = [json.loads(line) for line in (tmp_path / "gcd" / "items.jsonl").read_text().splitlines()]
    assert [item["question"] for item in items] == ["What is {{2}} + 2?", "And [1] + 2?"]
    assert items[0]["system"] == "Be brief."
    assert {file.name for file in (tmp_path / "gcd").iterdir()} == {
        "gcd.yaml",
        "items.jsonl",
        "scorer.py",
        "verifier.json",
    }


def test_the_folder_is_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        write_tasks(ROWS, Numeric(type="numeric"), tmp_path / name, 32)
    for file in (tmp_path / "one").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
        assert str(tmp_path).encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no held-out rows"),
        ([row("One?", family="../../etc")], "cannot name a task"),
        ([row("Same?"), row("Same?", "5")], "ask the same"),
        (
            [{**ROWS[0], "prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}],
            "the roles",
        ),
    ],
)
def test_rows_that_make_no_task_are_refused(rows, told, tmp_path):
    with pytest.raises(DataError, match=told):
        write_tasks(rows, Exact(type="exact"), tmp_path, 32)


def test_a_prompt_without_system_message_has_an_empty_one():
    assert item_of(ROWS[2])["system"] == ""


def test_the_reference_is_the_whole_answer_of_the_row():
    assert item_of(ROWS[2])["reference"] == "Monday"
    assert item_of({**ROWS[2], "completion": "The first day: Monday."})["reference"] == "The first day: Monday."


def test_lm_eval_itself_runs_the_folder_and_the_verifier_scores(tmp_path, monkeypatch):
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Parrot(LM):
        asked: list[tuple] = []
        tokenizer_name = "none"

        def generate_until(self, requests):
            self.asked.extend(request.args for request in requests)
            return ["I think\n#### 4" for _ in requests]

        def apply_chat_template(self, chat_history, add_generation_prompt=True):
            return json.dumps(chat_history)

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    write_tasks(ROWS, Exact(type="exact"), tmp_path / "tasks", 32)
    monkeypatch.chdir(tmp_path)
    tasks = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False).load(["gcd", "arithmetic"])
    parrot = Parrot()
    found = lm_eval.evaluate(parrot, tasks, apply_chat_template=True, fewshot_as_multiturn=True, bootstrap_iters=0)
    # "4" is right for the first of two in gcd, and wrong for the weekday.
    assert found["results"]["gcd"]["score,none"] == 0.5
    assert found["results"]["arithmetic"]["score,none"] == 0.0
    prompts = [json.loads(prompt) for prompt, _ in parrot.asked]
    assert prompts[0] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is {{2}} + 2?"},
    ]
    assert prompts[2] == [{"role": "user", "content": "Which day?"}]
    assert parrot.asked[0][1]["max_gen_toks"] == 32
    assert parrot.asked[0][1]["until"] == []


def test_without_a_verifier_the_whole_answer_must_match(tmp_path):
    write_tasks([row("Which day?", "Monday", family="day")], NoVerifier(), tmp_path, 8)
    sys.path.insert(0, str(tmp_path / "day"))
    try:
        import scorer
    finally:
        sys.path.remove(str(tmp_path / "day"))
    assert scorer.process_results({"answer": "Monday"}, ["Monday"]) == {"score": 1.0, "lenient_score": 1.0}
    assert scorer.process_results({"answer": "Monday"}, ["#### Monday"])["score"] == 0.0
    assert scorer.process_results({"answer": "Monday"}, ["A Monday."]) == {"score": 0.0, "lenient_score": 1.0}
