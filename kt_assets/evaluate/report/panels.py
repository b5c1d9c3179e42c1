"""Panels of intervals: accuracy by family, what each model gained over what it was made from, what was forgotten."""

from collections.abc import Sequence
from typing import Any

from kt_assets.evaluate.report import charts
from kt_assets.evaluate.report.data import UNTRAINED, ReportData, Row
from kt_assets.evaluate.report.words import figure, interval, percent

Panel = dict[str, Any]
"""``title, note, groups, ticks``: a group has ``untrained`` and ``rows``, a row ``label, svg, text, told, shipped``."""


def families(models: Sequence[Row]) -> list[str]:
    """The families that any model was asked, in the order of their names."""
    parts = (name.partition("/") for model in models for name in model["metrics"])
    return sorted({family for metric, _, family in parts if metric == "accuracy" and family})


def rival_rows(data: ReportData, name: str) -> list[dict[str, Any]]:
    """What needs no training, measured by ``name`` (``accuracy`` or ``accuracy/<family>``): ``name, label, metric``."""
    rows = [{"name": data.base["asset"], "label": data.base["step"], "metric": data.base["metrics"].get(name)}]
    for baseline, label in UNTRAINED.items():
        metric = data.baselines.get(name.replace("accuracy", baseline, 1))
        rows.append({"name": baseline, "label": label, "metric": metric})
    return [row for row in rows if row["metric"]]


def accuracy_panels(data: ReportData) -> list[Panel]:
    """One panel for all items and one a family, on one common scale: what needs no training, then the models.

    The dashed upright is the best of what needs no training, the bar that training has to pass.
    """
    names = ["accuracy", *(f"accuracy/{family}" for family in families(data.models))]
    untrained = {name: rival_rows(data, name) for name in names}
    trained = {name: [model for model in data.models[1:] if name in model["metrics"]] for name in names}
    highs = [row["metric"]["high"] for rows in untrained.values() for row in rows]
    top = charts.scale_top([*highs, *(m["metrics"][name]["high"] for name in names for m in trained[name])])
    found = []
    for name in names:
        scale = charts.Scale(0, top, max((row["metric"]["value"] for row in untrained[name]), default=None))
        models = [_row(m["step"], m["metrics"][name], name, scale, m is data.shipped) for m in trained[name]]
        rivals = [_row(row["label"], row["metric"], name, scale) for row in untrained[name]]
        title = "All held-out items" if name == "accuracy" else name.split("/", 1)[1].replace("_", " ")
        count = (untrained[name][0]["metric"] if untrained[name] else trained[name][0]["metrics"][name])["n"]
        found.append(_panel(title, f"{count} items", rivals, models, _percent_ticks(0, top)))
    return found


def gain_panel(data: ReportData) -> Panel | None:
    """Each model's accuracy less that of what it was made from, on the same items; None where nothing was compared."""
    steps = {model["asset"]: model["step"] for model in data.models}
    made_from = {model["asset"]: model.get("made_from", ()) for model in data.models}
    found = [
        row
        for row in data.comparisons
        if row["metric"] == "accuracy"
        and row["baseline"] in made_from.get(row["model"], ())
        and row["baseline"] in steps
    ]
    if not found:
        return None
    reach = charts.scale_top([abs(row[end]) for row in found for end in ("low", "high")])
    scale = charts.Scale(-reach, reach, 0)
    rows = [
        _row(
            f"{steps[row['model']]} − {steps[row['baseline']]}",
            row,
            "gain",
            scale,
            row["model"] == data.shipped["asset"],
        )
        for row in found
    ]
    return _panel("Against what it was made from", f"{found[0]['n']} items", [], rows, _percent_ticks(-reach, reach))


def kept_panels(data: ReportData) -> list[Panel]:
    """What the models kept of what the base could: the probe of general ability, perplexity on general text."""
    ability = _metric_panel(data, "general_ability", "General ability", "sentences")
    return ability + _metric_panel(data, "word_perplexity", "Perplexity a word, general text", "words")


def answer_panels(data: ReportData) -> list[Panel]:
    """How likely the held-out answers are to each model, where that was measured: the lower, the likelier."""
    return _metric_panel(data, "answer_perplexity", "Perplexity of the held-out answers, a token", "tokens")


def _metric_panel(data: ReportData, name: str, title: str, unit: str) -> list[Panel]:
    """The one panel of a metric, the base model's value marked; none where it was not measured."""
    models = [model for model in data.models if name in model["metrics"]]
    if not models:
        return []
    metrics = [model["metrics"][name] for model in models]
    is_share = "perplexity" not in name
    top = 1.0 if is_share else 1.05 * max(metric["high"] for metric in metrics)
    scale = charts.Scale(0, top, data.base["metrics"].get(name, {}).get("value"))
    rows = [_row(model["step"], model["metrics"][name], name, scale, model is data.shipped) for model in models]
    ticks = _percent_ticks(0, top) if is_share else ["0", figure(top / 2), figure(top)]
    return [_panel(title, f"{metrics[0]['n']} {unit}", rows[:1], rows[1:], ticks)]


def _row(label: str, metric: Row, name: str, scale: charts.Scale, shipped: bool = False) -> dict[str, Any]:
    signed = name == "gain"
    unit = "" if signed else " %"
    text = figure(metric["value"]) if "perplexity" in name else f"{percent(metric['value'], signed=signed)}{unit}"
    told = f"{label}: {text}, 95 % interval {interval(metric, name)}, n = {metric['n']}"
    return {"label": label, "svg": charts.interval(metric, scale), "text": text, "told": told, "shipped": shipped}


def _panel(title: str, note: str, untrained: list, trained: list, ticks: list[str]) -> Panel:
    groups = [{"untrained": bool(rows is untrained), "rows": rows} for rows in (untrained, trained) if rows]
    return {"title": title, "note": note, "groups": groups, "ticks": ticks}


def _percent_ticks(low: float, high: float) -> list[str]:
    signed = low < 0
    unit = " points" if signed else " %"
    return [percent(low, signed), percent((low + high) / 2), f"{percent(high, signed)}{unit}"]
