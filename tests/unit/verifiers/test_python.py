"""A person's own scorer: whatever it does wrong is told with the file and the row."""

import pytest
from pydantic import ValidationError

from kt_resources.errors import GenerationError
from kt_resources.verifiers import Python, build_verifier

ROW = {"id": "r7", "origin": "mine.jsonl:3", "answer": "5"}


def scorer(tmp_path, body, **options):
    file = tmp_path / "rewards.py"
    file.write_text(f"import time\ndef score(completion, row):\n    {body}\n")
    return build_verifier(Python(type="python", path=f"{file}:score", **options))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raise KeyError('total')", "raised KeyError"),
        ("return float('nan')", "nan is not between 0 and 1"),
        ("return 1.5", "1.5 is not between 0 and 1"),
        ("return -0.1", "-0.1 is not between 0 and 1"),
        ("return None", "no number but NoneType"),
        ("return 'good'", "no number but str"),
    ],
)
def test_misbehaviour_names_path_and_row(tmp_path, body, what):
    with pytest.raises(GenerationError) as caught:
        scorer(tmp_path, body)("anything", ROW)
    assert what in str(caught.value)
    assert "rewards.py:score" in caught.value.where
    assert "row r7 (mine.jsonl:3)" in caught.value.where


def test_it_gets_the_whole_completion_and_the_row(tmp_path):
    verify = scorer(tmp_path, "return 0.5 * (completion == 'so #### 5') + 0.5 * (row['answer'] == '5')")
    assert verify("so #### 5", ROW) == 1.0


def test_an_item_of_an_evaluation_task_has_its_prompt_too(tmp_path):
    verify = scorer(tmp_path, "return float([turn['content'] for turn in row['prompt']] == ['S', 'Q'])")
    assert verify("x", ROW | {"system": "S", "question": "Q"}) == 1.0
    asked = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    assert verify("x", ROW | {"prompt": asked}) == 1.0


@pytest.mark.parametrize("body", ["time.sleep(5)", "\n    while True: pass"])
def test_an_endless_function_is_interrupted(tmp_path, body):
    with pytest.raises(GenerationError, match="timed out"):
        scorer(tmp_path, body, timeout_s=0.1)("x", ROW)


def test_numpy_and_bool_scores_are_numbers(tmp_path):
    assert scorer(tmp_path, "import numpy; return numpy.float32(0.5)")("x", ROW) == 0.5
    assert scorer(tmp_path, "return True")("x", ROW) == 1.0


def test_a_missing_file_or_function_is_told(tmp_path):
    with pytest.raises(GenerationError, match="no such file"):
        build_verifier(Python(type="python", path=f"{tmp_path}/none.py:score"))
    (tmp_path / "other.py").write_text("def grade(c, r): return 1\n")
    with pytest.raises(GenerationError, match="no function 'score'"):
        build_verifier(Python(type="python", path=f"{tmp_path}/other.py:score"))
    (tmp_path / "alone.py").write_text("def score(c): return 1\n")
    with pytest.raises(GenerationError, match=r"score\(c\) cannot be called with two arguments"):
        build_verifier(Python(type="python", path=f"{tmp_path}/alone.py:score"))
    (tmp_path / "any.py").write_text("score = max\n")
    assert build_verifier(Python(type="python", path=f"{tmp_path}/any.py:score"))
    (tmp_path / "broken.py").write_text("def score(:\n")
    with pytest.raises(GenerationError, match="does not load: SyntaxError"):
        build_verifier(Python(type="python", path=f"{tmp_path}/broken.py:score"))


@pytest.mark.parametrize("path", ["rewards", "rewards.py", "rewards.txt:score", "rewards.py:not a name"])
def test_a_path_without_file_and_function_is_refused(path):
    with pytest.raises(ValidationError, match=r"rewards\.py:score"):
        Python(type="python", path=path)
