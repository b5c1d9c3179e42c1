"""The form of an answer, and several verifiers at once."""

import pytest
from pydantic import TypeAdapter, ValidationError

from kt_resources.verifiers import Verifier, build_verifier

ROW = {"id": "1", "answer": "7"}


def verifier(**options):
    return TypeAdapter(Verifier).validate_python(options)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("<think>a\nb</think> #### 7", 1.0),
        ("#### 7 <think>a</think>", 0.0),
        ("<think>a</think> <think>b</think> #### 7", 0.0),
        ("#### 7", 0.0),
    ],
)
def test_markers_stand_in_order_each_once(text, score):
    verify = build_verifier(verifier(type="format", markers=["<think>", "</think>", "####"]))
    assert verify(text, ROW) == score


def test_a_pattern_matches_the_whole_over_lines():
    verify = build_verifier(verifier(type="format", pattern=r"Step 1:.*Answer: \d+"))
    assert verify("Step 1: add\nStep 2: stop\nAnswer: 7", ROW) == 1.0
    assert verify("Step 1: add\nAnswer: 7 or so", ROW) == 0.0


def test_a_pattern_that_explodes_scores_0():
    verify = build_verifier(verifier(type="format", pattern=r"(a+)+b", timeout_s=0.2))
    assert verify("a" * 40, ROW) == 0.0


@pytest.mark.parametrize("options", [{}, {"pattern": "(unclosed"}, {"markers": []}])
def test_a_format_that_asks_for_nothing_is_refused(options):
    with pytest.raises(ValidationError, match=r"pattern or markers|no regular expression"):
        verifier(type="format", **options)


WEIGHTED = {
    "type": "weighted",
    "parts": [
        {"weight": 3, "verifier": {"type": "numeric"}},
        {"weight": 1, "verifier": {"type": "format", "markers": ["so", "####"]}},
    ],
}


@pytest.mark.parametrize(
    ("text", "score"),
    [("so #### 7", 1.0), ("#### 7", 0.75), ("so #### 8", 0.25), ("7", 0.0)],
)
def test_the_score_is_the_weighted_mean(text, score):
    """(3 · right + 1 · form) / 4; each part has its own marker."""
    assert build_verifier(verifier(**WEIGHTED))(text, ROW) == score


def test_parts_are_checked_and_written_whole():
    config = verifier(**WEIGHTED)
    assert verifier(**config.model_dump(mode="json")) == config
    assert config.truths == ("answer",)
    assert config.model_dump(mode="json")["parts"][0]["verifier"]["relative"] == 0.0
    with pytest.raises(ValidationError, match="numbric"):
        verifier(type="weighted", parts=[{"verifier": {"type": "numbric"}}, WEIGHTED["parts"][1]])
    with pytest.raises(ValidationError, match="at least 2"):
        verifier(type="weighted", parts=WEIGHTED["parts"][:1])


def test_every_column_that_a_part_needs_is_asked_for():
    config = verifier(
        type="weighted", parts=[{"verifier": {"type": kind}} for kind in ("exact", "json_schema", "math")]
    )
    assert config.truths == ("answer", "verification")


FORM = {"verifier": {"type": "format", "markers": ["#"]}}
NESTED = {"verifier": {"type": "weighted", "parts": [FORM, {"verifier": {"type": "exact", "answer_marker": "A:"}}]}}


@pytest.mark.parametrize(
    ("parts", "marker"),
    [
        ([FORM, {"verifier": {"type": "exact"}}], "####"),
        ([{"verifier": {"type": "reasoning_gym"}}, {"verifier": {"type": "exact", "answer_marker": None}}], None),
        ([FORM, NESTED], "A:"),
        ([FORM, {"verifier": {"type": "reasoning_gym"}}], "####"),
        ([FORM, FORM], None),
    ],
)
def test_the_marker_is_that_of_the_part_that_compares(parts, marker):
    assert verifier(type="weighted", parts=parts).reference_marker == marker
