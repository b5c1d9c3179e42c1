"""What ``kt report`` says first: the shipped model beside what needs no training."""

from kt_assets.cli.report import summary
from kt_assets.evaluate.report import ReportData


def metric(value: float, low: float, high: float) -> dict:
    return {"value": value, "low": low, "high": high, "n": 504}


BASE = {"asset": "base_model", "step": "base", "metrics": {"accuracy": metric(0.0, 0.0, 0.007)}}
GGUF = {"asset": "gguf_model", "step": "gguf", "metrics": {"accuracy": metric(0.62, 0.58, 0.66)}}
BASELINES = {
    "few_shot_base": metric(0.21, 0.18, 0.25),
    "lenient_base": metric(0.03, 0.02, 0.05),
    "majority_answer": metric(0.12, 0.1, 0.15),
}


def test_the_summary_names_every_baseline_and_the_gain_over_the_best() -> None:
    gain = {"model": "gguf_model", "baseline": "few_shot_base", "metric": "accuracy", **metric(0.41, 0.36, 0.46)}
    told = summary(ReportData("l", [BASE, GGUF], baselines=BASELINES, comparisons=[gain], num_examples=4))
    assert told.replace("\N{NO-BREAK SPACE}", " ") == (
        "gguf_model answers 62 % (58 to 66 %) of 504 held-out items. The base model 0 %; its answers counted in"
        " whatever form 3.0 %; after 4 worked examples, counted likewise 21 %; always the commonest answer of"
        " the family 12 %."
        " Over the best of these (base + examples): +41 points (95 %: +36 to +46), paired."
    )


def test_a_base_model_alone_has_nothing_to_pass() -> None:
    assert "Over the best" not in summary(ReportData("l", [BASE], baselines=BASELINES))
