from itertools import pairwise

import pytest

from kt_assets.evaluate.report.charts import Scale, curve, interval, scale_top, thinned
from kt_assets.evaluate.report.data import ReportData
from kt_assets.evaluate.report.lineage import direct_parents, num_lanes, ordered, rails
from kt_assets.evaluate.report.panels import accuracy_panels, answer_panels, gain_panel, kept_panels
from kt_assets.evaluate.report.training import training
from kt_assets.evaluate.report.view import alike, choose, costs, funnel, headline, sample_cards
from kt_resources.errors import EvaluateError


def items(scores: list[float]) -> dict:
    return {("gcd", str(index)): {"gguf_model": {"score": score}} for index, score in enumerate(scores)}


def test_half_of_the_samples_are_right_ones():
    by_item = items([1.0] * 10 + [0.0] * 10)
    chosen = choose(by_item, "gguf_model", 6, seed=0)
    assert sum(by_item[key]["gguf_model"]["score"] for key in chosen) == 3
    assert chosen == choose(by_item, "gguf_model", 6, seed=0)
    assert chosen != choose(by_item, "gguf_model", 6, seed=1)


@pytest.mark.parametrize(("scores", "num_right"), [([0.0] * 9, 0), ([1.0] * 9, 6), ([1.0] + [0.0] * 8, 1)])
def test_where_there_are_too_few_of_one_kind_the_other_fills_up(scores, num_right):
    by_item = items(scores)
    chosen = choose(by_item, "gguf_model", 6, seed=0)
    assert len(chosen) == 6
    assert sum(by_item[key]["gguf_model"]["score"] for key in chosen) == num_right


def test_models_that_said_the_same_share_a_line():
    said = {"completion": "4", "stopped": True, "score": 1.0}
    answers = [{**said, "model": "a"}, {**said, "model": "b", "completion": "5"}, {**said, "model": "c"}]
    lines = alike(answers, {"a": "base", "b": "sft", "c": "gguf"})
    assert [line["steps"] for line in lines] == [["base", "gguf"], ["sft"]]


def test_the_funnel_begins_with_all_and_ends_with_what_is_left():
    rows = funnel({"raw": 200, "kept": 150, "removed": {"empty": 10, "exact_duplicate": 40}})
    assert [(row["label"], row["share"]) for row in rows] == [
        ("raw rows", 1.0),
        ("exact_duplicate", 0.2),
        ("empty", 0.05),
        ("kept", 0.75),
    ]
    assert funnel({}) == []


def test_costs_add_up():
    timings = [
        {"asset": "a", "seconds": 30.0, "own_work_seconds": 20.0, "peak_memory_gb": 1.5},
        {"asset": "b", "seconds": 60.0, "own_work_seconds": 0},
    ]
    found = costs(ReportData("l", [], timings=timings, artifacts=[{"asset": "a", "parents": [], "size_mb": 5.0}]))
    assert (found["seconds"], found["own_work_seconds"]) == (90.0, 20.0)
    assert (found["size_mb"], found["peak_memory_gb"]) == (5.0, 1.5)
    assert [row["share"] for row in found["rows"]] == [0.5, 1.0]


def graph(**parents: list[str]) -> list[dict]:
    return [{"asset": name, "version": "0", "parents": found, "size_mb": 1.0} for name, found in parents.items()]


DIAMOND = graph(merged=["base", "left", "right"], left=["base"], right=["base"], base=[])


def test_parents_come_before_children():
    assert [row["asset"] for row in ordered(DIAMOND)] == ["base", "left", "right", "merged"]


def test_a_parent_through_another_parent_is_not_drawn():
    assert direct_parents(DIAMOND) == {"base": [], "left": ["base"], "right": ["base"], "merged": ["left", "right"]}


def test_every_line_that_leaves_a_row_enters_the_next():
    for artifacts in (DIAMOND, graph(a=[], b=[], c=["a"], d=["b", "c"], e=["a"], f=["e", "d"])):
        rows = rails(artifacts)
        for above, below in pairwise(rows):
            assert {edge for edge, _ in below.above} == {edge for edge, _ in above.below}
        assert rows[0].above == ()
        assert rows[-1].below == ()


def test_the_diamond_needs_two_lanes():
    rows = rails(DIAMOND)
    assert num_lanes(rows) == 2
    assert [row.asset for row in rows] == ["base", "left", "right", "merged"]
    assert len(rows[-1].above) == 2


def test_artifacts_that_make_each_other_are_refused():
    with pytest.raises(EvaluateError, match="each other's parents"):
        rails(graph(a=["b"], b=["a"]))


def test_an_interval_is_placed_in_percent_of_the_scale():
    svg = interval({"value": 0.25, "low": 0.1, "high": 0.4}, Scale(0, 0.5, 0.05))
    assert 'cx="50.00%"' in svg
    assert 'x1="20.00%" x2="80.00%"' in svg
    assert 'class="mark" x1="10.00%"' in svg
    around_zero = interval({"value": 0.1, "low": -0.1, "high": 0.9}, Scale(-0.2, 0.2, 0))
    assert 'cx="75.00%"' in around_zero and 'x1="25.00%" x2="100.00%"' in around_zero


def test_the_scale_holds_every_value():
    assert [scale_top(values) for values in ([0.07], [0.1, 0.35], [0.81], [])] == [0.1, 0.4, 1.0, 1.0]


def test_a_curve_goes_from_its_first_to_its_last_step():
    svg = curve([[(0, 1.0), (5, 0.5), (10, 0.0)]])
    # Left to right over 300 units; high values at the top, 4 units from the edge.
    assert 'points="0.0,4.0 150.0,50.0 300.0,96.0"' in svg


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    line = [(float(step), 0.0) for step in range(1001)]
    thin = thinned(line)
    assert len(thin) <= 202
    assert (thin[0], thin[-1]) == (line[0], line[-1])


def test_a_flat_curve_is_drawn():
    assert "nan" not in curve([[(1, 2.0), (2, 2.0)]])


def test_the_headline_compares_with_the_best_of_what_needs_no_training():
    def metric(value: float) -> dict:
        return {"value": value, "low": value, "high": value, "n": 100}

    models = [
        {"asset": "base_model", "step": "base", "data_version": "0", "metrics": {"accuracy": metric(0.0)}},
        {"asset": "gguf_model", "step": "gguf", "data_version": "1", "metrics": {"accuracy": metric(0.6)}},
    ]
    baselines = {"few_shot_base": metric(0.2), "lenient_base": metric(0.1), "majority_answer": metric(0.3)}
    gains = [
        {"model": "gguf_model", "metric": "accuracy", "baseline": name, **metric(0.6 - value)}
        for name, value in (("base_model", 0.0), ("few_shot_base", 0.2), ("majority_answer", 0.3))
    ]
    found = headline(ReportData("l", models, comparisons=gains, baselines=baselines))
    assert (found["best"]["name"], found["gain"]["value"], found["sure"]) == ("majority_answer", 0.3, True)
    assert "always the commonest answer of the family 30 %" in found["told"]
    (panel,) = accuracy_panels(ReportData("l", models, baselines=baselines))
    without, trained = panel["groups"]
    labels = ["base", "base, lenient", "base + examples", "commonest answer"]
    assert ([row["label"] for row in without["rows"]], without["untrained"]) == (labels, True)
    # The best of what needs no training, 30 of 60 % (the top of the scale): the upright stands in the middle.
    assert all('class="mark" x1="50.00%"' in row["svg"] for row in (*without["rows"], *trained["rows"]))
    assert [(row["label"], row["text"], row["shipped"]) for row in trained["rows"]] == [("gguf", "60 %", True)]


def measured(value: float, low: float | None = None, high: float | None = None) -> dict:
    return {"value": value, "low": value if low is None else low, "high": value if high is None else high, "n": 100}


CHAIN = [
    {"asset": "base_model", "step": "base", "made_from": [], "metrics": {"general_ability": measured(0.8)}},
    {
        "asset": "sft_model",
        "step": "sft",
        "made_from": ["base_model", "training_mix"],
        "metrics": {"general_ability": measured(0.6, 0.5, 0.7)},
    },
]


def test_a_model_stands_against_what_it_was_made_from_around_zero():
    gain = {"model": "sft_model", "metric": "accuracy", **measured(0.1, -0.05, 0.2)}
    rows = [{**gain, "baseline": name} for name in ("base_model", "majority_answer")]
    panel = gain_panel(ReportData("l", CHAIN, comparisons=rows))
    (row,) = panel["groups"][0]["rows"]
    assert (row["label"], row["text"]) == ("sft − base", "+10")
    assert panel["ticks"] == ["−20", "0", "+20 points"]
    assert gain_panel(ReportData("l", CHAIN)) is None


def test_what_was_kept_has_the_base_as_its_upright():
    (panel,) = kept_panels(ReportData("l", CHAIN))
    assert panel["title"] == "General ability"
    base, trained = panel["groups"]
    assert [row["text"] for row in (*base["rows"], *trained["rows"])] == ["80 %", "60 %"]
    assert 'class="mark" x1="80.00%"' in trained["rows"][0]["svg"]


def test_how_likely_answers_are_stands_where_it_was_measured():
    assert answer_panels(ReportData("l", CHAIN)) == []
    rows = [
        {**model, "metrics": {"answer_perplexity": measured(8.0 / (1 + place), 1, 9)}}
        for place, model in enumerate(CHAIN)
    ]
    (panel,) = answer_panels(ReportData("l", rows))
    base, trained = panel["groups"]
    assert [row["text"] for row in (*base["rows"], *trained["rows"])][:2] == ["8", "4"]
    assert panel["ticks"][-1] == "9.45"


def test_a_step_shows_its_figures_before_and_after_and_its_paired_gain():
    facts = {"num_trained_rows": 1200, "steps": 40, "start_eval_loss": 0.693, "final_eval_loss": 0.5}
    facts |= {"start_preference_accuracy": 0.5, "final_preference_accuracy": 0.75, "num_held_out_pairs": 20}
    facts |= {"preference_gain": 0.25, "preference_gain_low": 0.05, "preference_gain_high": 0.45}
    step = {"asset": "dpo_model", "objective": "dpo", "update": "lora", "start": "sft_model", "facts": facts}
    gain = {"model": "dpo_model", "baseline": "sft_model", "metric": "accuracy", **measured(0.02, -0.01, 0.05)}
    (block,) = training(ReportData("l", [], steps=[step], comparisons=[gain]))
    assert block["head"] == "dpo with lora, from sft_model"
    assert dict(block["figures"]) == {
        "trained on": "1,200 rows in 40 steps",
        "held-out loss": "0.693 → 0.5",
        "pairs told apart": "50 % → 75 %",
        "gain on 20 held-out pairs": "+25 points (+5.0 to +45)",
        "accuracy against sft": "+2.0 points (−1.0 to +5.0)",
    }


def test_the_base_after_examples_answers_beside_the_others():
    models = [
        {"asset": "base_model", "step": "base", "metrics": {}},
        {"asset": "gguf_model", "step": "gguf", "metrics": {}},
    ]
    said = {"task": "gcd", "id": "1", "question": "?", "answer": "4", "stopped": True}
    rows = [
        {**said, "model": name, "completion": f"by {name}", "score": score}
        for name, score in (("base_model", 0.0), ("gguf_model", 1.0), ("few_shot_base", 1.0))
    ]
    (card,) = sample_cards(ReportData("l", models, samples=rows))
    assert [answer["steps"] for answer in card["answers"]] == [["base"], ["base + examples"], ["gguf"]]
