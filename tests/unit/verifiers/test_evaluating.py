"""Scorers of reasoning-gym that evaluate text: true answers pass their grammars, and nothing else is evaluated."""

import json
import time
from pathlib import Path

import pytest

from kt_resources.errors import GenerationError
from kt_resources.verifiers import ReasoningGym, build_verifier, evaluating
from kt_resources.verifiers import reasoning_gym as module
from kt_resources.verifiers.evaluating import ANSWERS, OWN_TEXT, ROWS, answer_fits, evaluating_calls
from kt_resources.verifiers.grammars import expression, literal, number, shifts

EVALUATING = sorted({*ANSWERS, *ROWS})
MAKING_ALONE = {"arithmetic/gsm_symbolic/generators_00_49.py", "arithmetic/gsm_symbolic/generators_50_99.py"}


@pytest.fixture(scope="module")
def verify():
    return build_verifier(ReasoningGym(type="reasoning_gym"))


def entries(name, size=12, seed=5):
    import reasoning_gym

    return list(reasoning_gym.create_dataset(name, size=size, seed=seed))


def row(name, entry):
    return {"id": "r1", "verification": json.dumps({"dataset": name, "entry": entry}, default=str)}


@pytest.mark.parametrize("name", EVALUATING)
def test_true_answers_score_1(verify, name):
    found = [entry for seed in (1, 400, 9000) for entry in entries(name, seed=seed)]
    assert all(verify(f"#### {entry['answer']}", row(name, entry)) == 1.0 for entry in found)


def test_other_forms_of_right_answers_score_1(verify):
    integral = {"answer": "x**2 + C", "metadata": {"integrand": "2*x", "variable": "x"}}
    assert verify("#### C + (x - 1)*(x + 1)", row("simple_integration", integral)) == 1.0
    sums = {"answer": "2*3 + 4", "metadata": {"numbers": [2, 3, 4], "target": 10}}
    assert verify("#### (4 + 3*2)", row("countdown", sums)) == 1.0
    coin = {"answer": "0.125", "metadata": {}}
    assert verify("#### 1/8", row("coin_flip", coin)) == 1.0


@pytest.mark.parametrize("name", EVALUATING)
@pytest.mark.parametrize(
    "answer",
    [
        "[open({made!r}, 'w')]",
        "[str(open({made!r}, 'w'))]",
        "open({made!r}, 'w')",
        "[exit()]",
        "exit()",
        "2**(2**40)",
        "(9**99)**(9**9)",
        "exp(exp(exp(30)))",
        "1e999999999",
        "N(2, 99999999)",
        "[0 for _ in iter(int, 1)]",
    ],
)
def test_nothing_else_is_evaluated(verify, name, answer, tmp_path):
    made = tmp_path / "made"
    (entry,) = entries(name, size=1)
    started = time.monotonic()
    assert verify("#### " + answer.format(made=str(made)), row(name, entry)) == 0.0
    assert not made.exists() and time.monotonic() - started < 5


@pytest.mark.parametrize("name", EVALUATING)
def test_a_row_that_would_be_evaluated_is_refused(verify, name, tmp_path):
    made, (entry,) = tmp_path / "made", entries(name, size=1)
    bad = f"[open({str(made)!r}, 'w')]"
    replaced = {key: bad for key in ("integrand", "problem") if key in entry["metadata"]}
    with pytest.raises(GenerationError, match="row r1"):
        verify("#### 0x5", row(name, entry | {"answer": bad, "metadata": {**entry["metadata"], **replaced}}))
    assert not made.exists()


def test_whatever_the_installed_package_evaluates_is_listed():
    """A file that evaluates is a generator's with a grammar, one that evaluates nothing of others, or makes tasks."""
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    root = Path(reasoning_gym.__file__).parent
    calling = {path for path in root.rglob("*.py") if evaluating_calls(path.read_text(encoding="utf-8"))}
    files = {name: root.parent / (DATASETS[name][0].__module__.replace(".", "/") + ".py") for name in DATASETS}
    listed = {files[name] for name in {*ANSWERS, *ROWS, *OWN_TEXT}} | {root / name for name in MAKING_ALONE}
    assert calling <= listed
    assert {name for name in DATASETS if files[name] in calling} == {*EVALUATING, *OWN_TEXT} - {"coin_flip"}


def test_a_generator_that_evaluates_without_a_grammar_is_refused(monkeypatch, verify):
    from kt_assets.sources.reasoning_gym import check_families
    from kt_resources.recipes.data import Family

    monkeypatch.delitem(evaluating.ANSWERS, "countdown")
    module.scorer_of.cache_clear()
    with pytest.raises(GenerationError, match=r"countdown.*may run answers as code"):
        check_families({"countdown": Family()})


def test_an_answer_that_takes_too_long_scores_0(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(module, "scorer_of", lambda name: lambda answer, entry: time.sleep(5) or 1.0)
    assert module.score_entry("5", '{"dataset": "gcd", "entry": {"answer": "5"}}', "row") == 0.0


@pytest.mark.parametrize("text", ["[1, 2]", "[['a', 'b'], []]", "ABBA", "_ _ Q\nQ _ _", "1 0\n0 1", "('a', -1.5)"])
def test_literals(text):
    assert literal(text)


@pytest.mark.parametrize(
    "text", ["exit", "[exit()]", "[a]", "1 + x", "[1]*3", "f'{exit()}'", "-" * 9999 + "1", "[" * 9999]
)
def test_no_literals(text):
    assert not literal(text)
    assert not literal(f"[{'1, ' * 7000}]")  # 21,002 characters


@pytest.mark.parametrize("text", ["0.125", "1/8", "-3", "3.05e-05", ".5", "1,000", "2."])
def test_numbers(text):
    assert number(text)


@pytest.mark.parametrize("text", ["", ".", "1e9999", "1/8/2", "e5", "9" * 51, "nan", "0x5"])
def test_no_numbers(text):
    assert not number(text)


@pytest.mark.parametrize(
    "text",
    ["-x**9 + 7*x**7/2", "2*(4*x + 2)**(3/2)/3", "x**(-1/2)", "sqrt(1 - sqrt(x))", "Integral(x*sin(x), x)", "1.5*x"],
)
def test_expressions(text):
    assert expression(text, ["x"], {"sqrt", "sin", "Integral"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "y",
        "x.real",
        "x(2)",
        "sin(sin(x))",
        "Integral(Integral(x, x), x)",
        "Integral(x, (x, 0, 1))",
        "x**1000",
        "(x + 1)**100",
        "x**x",
        "2**3**4",
        "((x**99)**99)",
        "9" * 201,
        "1_000",
        "True",
        "x if x else x",
        "x; x",
        "'x'",
        "[x]",
        "x == x",
        "１",
        "a" * 9999 + "!",
        "-" * 9999 + "1",
    ],
)
def test_no_expressions(text):
    assert not expression(text, ["x"], {"sqrt", "sin", "Integral"})


def test_shifts():
    assert shifts("((0xd6e3 * 0x2c49) + (0x4167 << 0x3))") and shifts("0x1ff")
    assert not any(map(shifts, ("0x2 ** 0x9", "(0x1 << 0xfffff)", "(0x1 << 0x3 * 0xffff)", "exit()", "0x1ffffffff")))


def test_the_question_written_again_is_no_answer_where_it_has_one() -> None:
    entry = {"answer": "x**2/2 + C", "metadata": {"variable": "x"}}
    assert answer_fits("simple_integration", "x**2/2", entry)
    assert not answer_fits("simple_integration", "Integral(x, x)", entry)
    assert answer_fits("simple_integration", "Integral(sin(x), x)", entry | {"answer": "Integral(sin(x), x) + C"})
