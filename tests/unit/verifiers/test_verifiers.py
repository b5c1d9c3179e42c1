"""Every verifier against a right answer, a wrong one, a missing marker, junk and endless text."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from kt_resources.errors import GenerationError
from kt_resources.verifiers import VERIFIERS, Verifier, build_verifier, extract_answer

ENTRY = {"question": "2 + 3 =", "answer": "5", "metadata": {"expression": "2 + 3"}}
SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
ROWS = {
    "reasoning_gym": {"verification": json.dumps({"dataset": "chain_sum", "entry": ENTRY})},
    "exact": {"answer": "five apples"},
    "numeric": {"answer": "1234.5"},
    "math": {"answer": "1/2"},
    "json_schema": {"answer": "unused"},
    "python": {"answer": "5"},
}
RIGHT = {
    "reasoning_gym": "#### 5",
    "exact": "#### five  apples",
    "numeric": "#### $1,234.50",
    "math": r"#### \frac{1}{2}",
    "json_schema": '#### {"total": 5}',
    "python": "#### 5",
}
WRONG = {
    "reasoning_gym": "#### 6",
    "exact": "#### five pears",
    "numeric": "#### 1234.6",
    "math": "#### 0.51",
    "json_schema": '#### {"total": "five"}',
    "python": "#### 6",
}
JUNK = ["", "####", "####   ", "#### \x00\ud7ff∞ NaN --- {{{", "#### ####", "####" * 50, "#### $$\\frac{}{"]


@pytest.fixture
def verify_of(tmp_path):
    (tmp_path / "rewards.py").write_text("def score(completion, row):\n    return float(completion == row['answer'])\n")
    options = {
        "json_schema": {"json_schema": SCHEMA, "answer_marker": "####"},
        "python": {"path": f"{tmp_path}/rewards.py:score", "answer_marker": "####"},
    }

    def build(kind, **more):
        config = TypeAdapter(Verifier).validate_python({"type": kind, **options.get(kind, {}), **more})
        return lambda completion, row=ROWS[kind]: build_verifier(config)(completion, {"id": "r1", **row})

    return build


@pytest.mark.parametrize("kind", ROWS)
def test_right_is_one_and_wrong_is_nought(verify_of, kind):
    verify = verify_of(kind)
    assert verify(RIGHT[kind]) == 1.0
    assert verify(WRONG[kind]) == 0.0


@pytest.mark.parametrize("kind", ROWS)
def test_the_answer_is_what_follows_the_last_marker(verify_of, kind):
    verify = verify_of(kind)
    assert verify(f"first {WRONG[kind]} no: {RIGHT[kind]}") == 1.0
    assert verify(f"first {RIGHT[kind]} no: {WRONG[kind]}") == 0.0


@pytest.mark.parametrize("kind", ROWS)
def test_without_the_marker_nothing_is_right(verify_of, kind):
    verify = verify_of(kind)
    assert verify(RIGHT[kind].removeprefix("#### ")) == 0.0


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("completion", JUNK)
def test_junk_scores_nought_and_raises_nothing(verify_of, kind, completion):
    assert verify_of(kind)(completion) == 0.0


@pytest.mark.parametrize("kind", ROWS)
def test_endless_answers_score_nought(verify_of, kind):
    assert verify_of(kind)("#### " + "9" * 1_000_000) == 0.0
    assert verify_of(kind)("#### " + "9" * 50_000) == 0.0
    assert verify_of(kind)("#### " + "[" * 50_000) == 0.0


@pytest.mark.parametrize("kind", ["exact", "numeric", "math", "reasoning_gym"])
def test_a_row_without_ground_truth_is_named(verify_of, kind):
    with pytest.raises(GenerationError, match="row r1"):
        verify_of(kind)("#### 5", {"answer": None, "verification": None})


def test_every_verifier_is_tested_here_or_in_a_file_of_its_own():
    files = " ".join(file.stem for file in Path(__file__).parent.glob("test_*.py"))
    elsewhere = {name for name in VERIFIERS if name in files}
    assert set(ROWS) | elsewhere == set(VERIFIERS) - {"none"}


def test_no_verifier_says_so_when_one_is_needed():
    with pytest.raises(GenerationError, match="no verifier"):
        build_verifier(TypeAdapter(Verifier).validate_python({"type": "none"}))


def test_a_marker_of_none_takes_the_whole_completion():
    assert extract_answer("  all of it ", None) == "all of it"
    verify = build_verifier(TypeAdapter(Verifier).validate_python({"type": "exact", "answer_marker": None}))
    assert verify("five apples", {"answer": "five apples"}) == 1.0


@pytest.mark.parametrize("bad", [{"type": "exactly"}, {"type": "exact", "ignorecase": True}, {"answer_marker": "x"}])
def test_unknown_types_and_keys_are_refused(bad):
    with pytest.raises(ValidationError):
        TypeAdapter(Verifier).validate_python(bad)


def test_numbers_within_the_tolerance(verify_of):
    row = {"answer": "200"}
    assert verify_of("numeric", relative=0.01)("#### 202", row) == 1.0  # |202 - 200| = 2 = 0.01 · 200
    assert verify_of("numeric", relative=0.01)("#### 203", row) == 0.0
    assert verify_of("numeric", absolute=3)("#### 197.", row) == 1.0
    assert verify_of("numeric")("#### about 200", row) == 0.0


def test_partial_scores_of_reasoning_gym_count_only_where_asked(verify_of):
    # compute_decimal_reward gives len("5") / len("5 ok") = 1/4 where the answer stands inside other text
    assert verify_of("reasoning_gym", exact=False)("#### 5 ok") == pytest.approx(0.25)
    assert verify_of("reasoning_gym")("#### 5 ok") == 0.0


@pytest.mark.parametrize("verification", ["{", "[]", '{"dataset": "no_such", "entry": {}}', '{"dataset": "gcd"}'])
def test_a_broken_verification_names_the_row(verify_of, verification):
    with pytest.raises(GenerationError, match="row r1"):
        verify_of("reasoning_gym")("#### 5", {"verification": verification})


def test_a_row_whose_own_answer_cannot_be_scored_is_no_model_mistake(verify_of):
    broken = {"verification": json.dumps({"dataset": "gcd", "entry": {"answer": None}})}
    with pytest.raises(GenerationError, match="own answer"):
        verify_of("reasoning_gym")("#### 5", broken)


def test_a_schema_of_the_row_and_a_code_fence(verify_of):
    verify = verify_of("json_schema", json_schema=None, answer_marker=None)
    row = {"verification": json.dumps({"type": "array", "maxItems": 2})}
    assert verify("```json\n[1, 2]\n```", row) == 1.0
    assert verify("[1, 2, 3]", row) == 0.0


def test_a_bad_schema_is_refused_with_the_recipe():
    with pytest.raises(ValidationError, match="no JSON schema"):
        TypeAdapter(Verifier).validate_python({"type": "json_schema", "json_schema": {"type": "objekt"}})


@pytest.mark.parametrize("verification", ["not json", "[1]", '{"type": "objekt"}', "", None])
def test_a_row_without_a_schema_is_named(verify_of, verification):
    verify = verify_of("json_schema", json_schema=None, answer_marker=None)
    with pytest.raises(GenerationError, match="row r1"):
        verify("{}", {"verification": verification})


@pytest.mark.parametrize("answer", ["NaN", "Infinity", "-Infinity", "[NaN]"])
def test_what_is_no_json_scores_0(verify_of, answer):
    assert verify_of("json_schema", json_schema={}, answer_marker=None)(answer) == 0.0


@pytest.mark.parametrize("answer", ["1" + "0" * 400, "1e400"])
def test_numbers_that_overflow_score_0(verify_of, answer):
    """1e400 is read as infinity; neither it nor 10^400 can be divided by the float 0.01."""
    assert verify_of("json_schema", json_schema={"multipleOf": 0.01}, answer_marker=None)(answer) == 0.0


def test_a_schema_that_takes_too_long_scores_0(verify_of):
    slow = {"type": "string", "pattern": "^(a+)+$"}
    verify = verify_of("json_schema", json_schema=slow, answer_marker=None, timeout_s=0.2)
    assert verify(f'"{"a" * 40}!"') == 0.0
    assert verify('"aa"') == 1.0


@pytest.mark.parametrize(
    ("answer", "truth", "score"),
    [
        ("12345678901234567891", "12345678901234567890", 0.0),
        ("12345678901234567890.0", "12345678901234567890", 1.0),
        ("1e400", "1e500", 0.0),
        ("1e999", "10e998", 1.0),
        ("0.1000000000000000000001", "0.1", 0.0),
        ("1,2,3", "123", 0.0),
        ("12,34", "1234", 0.0),
        ("1,234,567.5", "1234567.5", 1.0),
        ("-$5", "-5", 1.0),
        ("$-5", "-5", 1.0),
        ("−$1,234", "-1234", 1.0),
        ("--5", "-5", 0.0),
        ("9" * 2000, "9" * 999, 0.0),
    ],
)
def test_numbers_are_compared_digit_by_digit(verify_of, answer, truth, score):
    assert verify_of("numeric")(f"#### {answer}", {"answer": truth}) == score


def test_tolerances_hold_beyond_the_range_of_floats(verify_of):
    """|1.01e400 - 1e400| = 1e398 = 0.01 · 1e400."""
    assert verify_of("numeric", relative=0.01)("#### 1.01e400", {"answer": "1e400"}) == 1.0
    assert verify_of("numeric", relative=0.01)("#### 1.02e400", {"answer": "1e400"}) == 0.0
    assert verify_of("numeric", absolute=1)("#### 12345678901234567892", {"answer": "12345678901234567890"}) == 0.0
    assert verify_of("numeric", absolute=0.1)("#### 0.3", {"answer": "0.2"}) == 1.0
