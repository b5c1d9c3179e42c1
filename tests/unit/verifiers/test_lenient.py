"""Lenient reading: what counts as right in whatever form it comes, and what does not."""

import pytest
from pydantic import TypeAdapter

from kt_resources.verifiers import (
    Exact,
    JsonSchema,
    Numeric,
    Python,
    ReasoningGym,
    Verifier,
    build_verifier,
    lenient_verifier,
)
from kt_resources.verifiers.lenient import readings

SUM = {"id": "1", "answer": "1234", "verification": '{"dataset": "chain_sum", "entry": {"answer": "1234"}}'}


@pytest.mark.parametrize(
    "said",
    [
        "#### 1234",
        "1234",
        "The sum of 1000 and 234 is 1234.",
        "1000 + 234 = 1,234",
        "Let us add them.\n\nThe answer is **1234**.",
        "So we get \\boxed{1234}, as 1000 + 234.",
        "#### 1234\n\nNow let us try another: 5 + 6 = 11",
        "### Answer: 1234 ###",
    ],
)
def test_a_right_number_is_found_in_any_form(said: str) -> None:
    assert lenient_verifier(Numeric(type="numeric"))(said, SUM) == 1.0
    assert build_verifier(Numeric(type="numeric"))(said, SUM) == float(said.endswith("#### 1234"))


@pytest.mark.parametrize(
    "said", ["", "I do not know.", "1234 and 5 make 1239", "12345", "-1234", "1234 is the first number of 12340"]
)
def test_a_wrong_number_stays_wrong(said: str) -> None:
    assert lenient_verifier(Numeric(type="numeric"))(said, SUM) == 0.0


def test_reasoning_gyms_own_scorer_reads_leniently() -> None:
    assert lenient_verifier(ReasoningGym(type="reasoning_gym"))("It makes 1234 in all.", SUM) == 1.0


DAYS = ("Monday", "Friday", "Sunday")


@pytest.mark.parametrize(("said", "score"), [("It falls on a Monday.", 1.0), ("Not Monday but a Friday, then.", 0.0)])
def test_of_known_answers_the_last_named_counts(said: str, score: float) -> None:
    """Naming every day would else be right on any question."""
    verify = lenient_verifier(Exact(type="exact"), DAYS)
    assert verify(said, {"answer": "Monday"}) == score


def test_a_known_answer_is_a_whole_word() -> None:
    assert "no" not in readings("I know", None, ("no",))


def test_json_is_found_between_words() -> None:
    verify = lenient_verifier(JsonSchema(type="json_schema", json_schema={"type": "object", "required": ["a"]}))
    assert verify('Sure! Here it is: {"a": 1}. Anything else?', {}) == 1.0
    assert verify('Sure! Here it is: {"b": 1}.', {}) == 0.0


def test_a_persons_function_that_chokes_on_a_reading_scores_it_0(tmp_path) -> None:
    (tmp_path / "rewards.py").write_text("def score(text, row):\n    return float(int(text) == 7)\n")
    verify = lenient_verifier(Python(type="python", path=f"{tmp_path}/rewards.py:score"))
    assert verify("That makes 7", {"id": "1"}) == 1.0


def test_endless_output_is_not_read() -> None:
    assert readings("7 " * 100_000, "####") == []


def test_each_of_several_verifiers_reads_leniently_by_itself() -> None:
    """The number is found in the sentence (weight 3 of 4), the marker that the form asks for is not there."""
    form = {"type": "format", "markers": ["####"]}
    parts = [{"weight": 3, "verifier": {"type": "numeric"}}, {"weight": 1, "verifier": form}]
    config = TypeAdapter(Verifier).validate_python({"type": "weighted", "parts": parts})
    assert build_verifier(config)("It makes 1234.", SUM) == 0.0
    assert lenient_verifier(config)("It makes 1234.", SUM) == 0.75
