import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kt_assets.evaluate.report import ReportData, render_report, report_json
from kt_assets.evaluate.report.words import duration, figure, interval, percent, size

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \" ' & {{ 7 * 7 }}"


def load_made_up():
    path = Path(__file__).with_name("made_up_report.py")
    spec = importlib.util.spec_from_file_location("made_up_report", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.made_up_report


made_up_report = load_made_up()


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and whether each is closed in order."""

    void = ("meta", "circle", "line", "path", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def sections(text: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', text)


def test_a_mixed_gguf_says_how_many_bits_a_weight_takes():
    assert "6.2 bits a weight" in render_report(made_up_report())
    bare = {"file": "model.gguf", "size_mb": 100.3, "quant": "Q4_K_M"}
    assert "bits a weight" not in render_report(made_up_report(gguf=bare))


def test_every_section_is_there_and_every_tag_is_closed():
    text = render_report(made_up_report())
    page = Page(text)
    assert page.open == []
    assert sections(text) == [
        "accuracy",
        "answers",
        "kept",
        "training",
        "curation",
        "checks",
        "lineage",
        "cost",
        "use",
        "recipe",
    ]


def test_it_stands_alone_and_stays_small():
    text = render_report(made_up_report())
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert "http" not in text.replace("http-equiv", "")
    assert len(text) < 200_000


@pytest.mark.parametrize("where", ["completion", "question", "answer"])
def test_what_a_model_says_is_inert(where):
    data = made_up_report()
    rows = [{**row, where: HOSTILE} for row in data.samples]
    page = Page(render_report(made_up_report(samples=rows)))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert HOSTILE.split(" ", 1)[0] in "".join(page.text)
    assert "{{ 7 * 7 }}" in "".join(page.text)


def test_names_and_recipes_are_inert_too():
    data = made_up_report(line=HOSTILE, recipe=HOSTILE, made=HOSTILE)
    checks = [{"asset": HOSTILE, "name": HOSTILE, "passed": False, "severity": "error", "observed": HOSTILE}]
    artifacts = [{"asset": HOSTILE, "version": HOSTILE, "parents": [], "size_mb": 1.0}]
    models = [{**model, "asset": HOSTILE, "step": HOSTILE} for model in data.models]
    text = render_report(
        ReportData(line=HOSTILE, models=models, recipe=HOSTILE, checks=checks, artifacts=artifacts, curves={})
    )
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)


def test_only_models_are_needed():
    data = made_up_report()
    text = render_report(ReportData(line="small", models=data.models[:1]))
    assert sections(text) == ["accuracy", "kept"]
    metrics = {"accuracy": data.models[0]["metrics"]["accuracy"]}
    text = render_report(ReportData(line="small", models=[{**data.models[0], "metrics": metrics}]))
    assert sections(text) == ["accuracy"]
    assert "the base model" not in text


def test_the_headline_says_what_was_gained_and_how_surely():
    data = made_up_report()
    gain = {"model": "gguf_model", "baseline": "majority_answer", "metric": "accuracy", "n": 144}
    sure = render_report(made_up_report(comparisons=[{**gain, "value": 0.44, "low": 0.36, "high": 0.52}]))
    assert "<b>+44 points</b>" in sure
    assert "from +36 to +52" in sure
    unsure = render_report(made_up_report(comparisons=[{**gain, "value": 0.02, "low": -0.04, "high": 0.08}]))
    assert "cannot tell the two apart" in unsure
    commonest = data.baselines["majority_answer"]["value"]
    assert f"commonest answer: {percent(commonest)} %" in sure
    accuracy = data.shipped["metrics"]["accuracy"]["value"]
    assert f"answers <em>{percent(accuracy)}&nbsp;%</em> of 144 held-out questions" in sure


def test_a_failed_check_is_shown_open_and_counted():
    failed = {"asset": "sft_model", "name": "stops", "passed": False, "severity": "error"}
    text = render_report(made_up_report(checks=[failed, {**failed, "name": "other", "passed": True}]))
    assert "1 failed</span>" in text
    assert re.search(r"<details open>\s*<summary>sft_model", text)


def test_a_gate_that_warns_is_counted_beside_the_checks():
    passed = {"asset": "sft_model", "name": "stops", "passed": True, "severity": "error"}
    gate = {"name": "general_text_kept", "passed": False, "severity": "warn", "observed": "1.29, asked ≤ 1.2"}
    text = render_report(made_up_report(checks=[passed], gates=[gate]))
    assert "<dd>1/2</dd>" in text and "1 warned</span>" in text
    fine = render_report(made_up_report(checks=[passed], gates=[{**gate, "passed": True}]))
    assert "<dd>2/2</dd>" in fine and "all passed" in fine


def test_the_json_has_the_promised_shape():
    found = report_json(made_up_report(), "report.html")
    assert list(found) == ["line", "models", "baselines", "comparisons", "checks", "timings", "report"]
    assert set(found["models"][0]) == {"asset", "step", "data_version", "metrics"}
    assert set(found["models"][0]["metrics"]["accuracy"]) == {"value", "low", "high", "n"}
    assert set(found["checks"][0]) == {"asset", "name", "passed", "severity"}
    assert set(found["timings"][0]) == {"asset", "seconds", "own_work_seconds"}


def test_figures_are_short():
    assert [percent(x) for x in (0.0, 0.021, 0.456, 1.0)] == ["0", "2.1", "46", "100"]
    assert percent(0.3, signed=True) == "+30"
    assert [figure(x) for x in (41.234, 1234.6, 0.00213, 0.0, 2.5e8, float("inf"))] == [
        "41.2",
        "1,235",
        "0.00213",
        "0",
        "2.50e+08",
        "inf",
    ]
    assert [duration(x) for x in (4.24, 200, 3900)] == ["4.2 s", "3 min 20 s", "1 h 05 min"]
    assert [size(x) for x in (0.0123, 100.34, 1234.0)] == ["12.3 kB", "100.3 MB", "1.23 GB"]
    assert interval({"low": -0.1, "high": 0.25}, "gain") == "−10 to +25"
    assert interval({"low": 0.1, "high": 0.25}, "accuracy") == "10 to 25\N{NO-BREAK SPACE}%"
    assert interval({"low": 10.0, "high": 12.5}, "word_perplexity") == "10 to 12.5"
