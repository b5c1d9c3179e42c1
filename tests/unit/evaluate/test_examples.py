from kt_assets.evaluate.examples import choose_examples
from kt_resources.evaluators.config import FewShot
from kt_resources.store.schemas import example_row


def rows(family: str, num: int) -> list[dict]:
    system = {"role": "system", "content": "Be brief."}
    asked = [[system, {"role": "user", "content": f"{family} {index}?"}] for index in range(num)]
    return [example_row(turns, f"#### {i}", source="worked", family=family) for i, turns in enumerate(asked)]


def test_a_task_gets_examples_of_its_own_family():
    found = choose_examples([*rows("gcd", 9), *rows("sum", 9)], ["gcd", "sum"], FewShot(num_examples=3))
    assert {task: len(examples) for task, examples in found.items()} == {"gcd": 3, "sum": 3}
    assert all(example.question.startswith("gcd ") for example in found["gcd"])
    # The answer goes with its own question: "gcd 4?" was answered "#### 4".
    assert all(example.question.split()[1] == f"{example.completion.split()[1]}?" for example in found["gcd"])
    again = choose_examples([*rows("gcd", 9), *rows("sum", 9)], ["gcd"], FewShot(num_examples=3))
    assert again["gcd"] == found["gcd"]
    other = choose_examples(rows("gcd", 9), ["gcd"], FewShot(num_examples=3, seed=1))
    assert other["gcd"] != found["gcd"]


def test_a_task_without_rows_of_its_family_gets_those_of_others():
    found = choose_examples(rows("gcd", 9), ["letters"], FewShot(num_examples=2))
    assert all(example.question.startswith("gcd ") for example in found["letters"])


def test_without_usable_rows_or_where_it_is_off_there_is_none():
    unanswered = [row | {"completion": None} for row in rows("gcd", 3)]
    assert choose_examples(unanswered, ["gcd"], FewShot()) == {}
    assert choose_examples(rows("gcd", 3), ["gcd"], FewShot(num_examples=0)) == {}
