import pytest
from pydantic import ValidationError

from kt_resources.errors import EvaluateError
from kt_resources.evaluators.bootstrap import Metric
from kt_resources.evaluators.config import Bootstrap, Evaluation, Gate
from kt_resources.evaluators.gates import forgetting_gates, judge_gates
from kt_resources.evaluators.metrics import Gains, model_metrics

MODELS = [
    {"asset": "base_model", "step": "base", "metrics": {"accuracy": Metric(value=0.1, low=0.05, high=0.2, n=40)}},
    {"asset": "gguf_model", "step": "gguf", "metrics": {"accuracy": Metric(value=0.4, low=0.3, high=0.5, n=40)}},
]


class Said:
    """Says that every gain, and every ratio, is ``value``."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, metric: str, model: str, baseline: str) -> Metric:
        return Metric(value=self.value, low=self.value - 0.1, high=self.value + 0.1, n=40)

    ratio = __call__


def passed(gate: Gate, gain: float = 0.3) -> bool:
    (verdict,) = judge_gates([gate], MODELS, Said(gain))
    return verdict.passed


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate(name="g", min=0.4), True),
        (Gate(name="g", min=0.41), False),
        (Gate(name="g", min=0.3, bound="low"), True),
        (Gate(name="g", min=0.31, bound="low"), False),
        (Gate(name="g", max=0.4), True),
        (Gate(name="g", max=0.49, bound="low"), False),
        (Gate(name="g", model="base", min=0.2), False),
        (Gate(name="g", baseline="base_model", min_gain=0.3), True),
        (Gate(name="g", baseline="base_model", min_gain=0.31), False),
        (Gate(name="g", baseline="base", min_gain=0.25, bound="low"), False),
        (Gate(name="g", min=0.9, baseline="base", min_gain=0.1), False),
    ],
)
def test_a_gate_passes_at_its_bound_and_fails_beyond_it(gate: Gate, expected: bool):
    assert passed(gate) is expected


def test_what_was_seen_is_told_with_the_interval():
    (verdict,) = judge_gates([Gate(name="g", min=0.9, severity="warn")], MODELS, Said(0))
    assert verdict.severity == "warn"
    assert verdict.observed == "gguf_model accuracy 0.400 [0.300, 0.500] on 40; asked ≥ 0.9"


@pytest.mark.parametrize(
    "changes", [{"model": "nobody"}, {"metric": "accuracy/none"}, {"baseline": "nobody", "min_gain": 0}]
)
def test_a_gate_on_what_was_not_measured_is_refused(changes: dict):
    with pytest.raises(EvaluateError, match="name one of"):
        passed(Gate(**{"name": "g", "min": 0.1, **changes}))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"min_gain": 0.1},
        {"baseline": "base", "min": 0.1},
        {"minimum": 1},
        {"max_ratio": 1.1},
        {"baseline": "base", "max_ratio": 1.1},
    ],
)
def test_a_gate_that_asks_nothing_or_half_is_refused(wrong: dict):
    with pytest.raises(ValidationError):
        Gate(name="g", **wrong)


def test_two_gates_need_two_names():
    with pytest.raises(ValidationError, match="share a name"):
        Evaluation(gates=[{"name": "g", "min": 0.1}, {"name": "g", "max": 0.9}])


def seen(scores: list[float], nll: float = 20.0, lenient: float = 1.0) -> dict:
    items = [
        {"task": "gcd", "family": "gcd", "id": str(i), "answer": "1", "score": score, "stopped": True}
        | {"lenient_score": lenient}
        for i, score in enumerate(scores)
    ]
    return {"items": items, "general": {"nll": [nll, nll], "tokens": [10, 10], "words": [10, 10]}}


def test_gains_pair_the_items_by_id_whatever_their_order():
    base, tuned = seen([1.0, 0.0, 0.0, 0.0]), seen([1.0, 1.0, 1.0, 0.0])
    tuned["items"].reverse()
    gains = Gains(MODELS, {"base_model": base, "gguf_model": tuned}, Bootstrap())
    assert gains("accuracy", "gguf", "base").value == pytest.approx(0.5)
    # Every right answer is "1": always saying so is right everywhere, and the model is right on 3 of 4.
    assert gains("accuracy/gcd", "gguf", "majority_answer").value == pytest.approx(-0.25)


def test_a_risen_perplexity_is_a_negative_gain():
    gains = Gains(MODELS, {"base_model": seen([1.0], 20.0), "gguf_model": seen([1.0], 30.0)}, Bootstrap())
    # exp(20/10) - exp(30/10) = 7.39 - 20.09
    assert gains("word_perplexity", "gguf", "base").value == pytest.approx(-12.70, abs=0.01)


def test_what_needs_no_training_is_a_baseline_too():
    base, tuned = seen([0.0, 0.0, 0.0, 0.0], lenient=0.25), seen([1.0, 1.0, 1.0, 0.0])
    few_shot = [item | {"lenient_score": score} for item, score in zip(base["items"], (1, 1, 0, 0), strict=True)]
    gains = Gains(MODELS, {"base_model": base | {"few_shot": few_shot}, "gguf_model": tuned}, Bootstrap())
    assert gains("accuracy", "gguf", "lenient_base").value == pytest.approx(0.5)  # 3/4 - 1/4
    assert gains("accuracy", "gguf", "few_shot_base").value == pytest.approx(0.25)  # 3/4 - 2/4
    assert passed_with(gains, baseline="few_shot_base", min_gain=0.25)
    assert not passed_with(gains, baseline="few_shot_base", min_gain=0.26)


def passed_with(gains: Gains, **asked) -> bool:
    (verdict,) = judge_gates([Gate(name="g", **asked)], MODELS, gains)
    return verdict.passed


def test_a_gate_on_examples_that_were_not_asked_after_is_refused():
    gains = Gains(MODELS, {"base_model": seen([1.0]), "gguf_model": seen([1.0])}, Bootstrap())
    with pytest.raises(EvaluateError, match="there is no few_shot_base"):
        passed_with(gains, baseline="few_shot_base", min_gain=0.1)


def forgot(nll: float = 20.0, num_known: int = 4) -> dict:
    return seen([1.0], nll) | {"ability": {str(item): float(item < num_known) for item in range(4)}}


def judged_forgetting(tuned: dict, **asked) -> dict[str, bool]:
    measured = {"base_model": forgot(), "gguf_model": tuned}
    models = [row | {"metrics": model_metrics(measured[row["asset"]], Bootstrap())} for row in MODELS]
    config = Evaluation(forgetting=asked)
    gates = forgetting_gates(config, "base_model", models[1])
    return {v.name: v.passed for v in judge_gates(gates, models, Gains(models, measured, Bootstrap()))}


@pytest.mark.parametrize(
    ("tuned", "asked", "expected"),
    [
        (forgot(), {}, {"general_text_kept": True, "general_ability_kept": True}),
        # exp(22/10) / exp(20/10) = 1.22, above 1.2; exp(21.5/10 - 2) = 1.16, below.
        (forgot(nll=22.0), {}, {"general_text_kept": False, "general_ability_kept": True}),
        (forgot(nll=21.5), {}, {"general_text_kept": True, "general_ability_kept": True}),
        (forgot(nll=21.5), {"max_perplexity_ratio": 1.1}, {"general_text_kept": False, "general_ability_kept": True}),
        # 3 of 4 known, where the base knew 4: a drop of 0.25.
        (forgot(num_known=3), {}, {"general_text_kept": True, "general_ability_kept": False}),
        (forgot(num_known=3), {"max_ability_drop": 0.25}, {"general_text_kept": True, "general_ability_kept": True}),
        (forgot(num_known=0, nll=90.0), {"max_ability_drop": None, "max_perplexity_ratio": None}, {}),
    ],
)
def test_what_the_shipped_model_forgot_is_gated_in_every_line(tuned: dict, asked: dict, expected: dict):
    assert judged_forgetting(tuned, **asked) == expected


def test_a_gate_of_the_recipes_own_takes_the_place_of_the_default():
    config = Evaluation(gates=[{"name": "general_text_kept", "metric": "word_perplexity", "max": 100}])
    shipped = {"asset": "gguf_model", "metrics": model_metrics(forgot(), Bootstrap())}
    assert [gate.name for gate in forgetting_gates(config, "base_model", shipped)] == ["general_ability_kept"]
    assert forgetting_gates(Evaluation(), "gguf_model", shipped) == []  # the base itself has nothing to forget
