"""What each training step did: its figures before and after, and its curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from kt_assets.evaluate.plots import curve_charts
from kt_assets.evaluate.report import charts
from kt_assets.evaluate.report.data import ReportData, Row
from kt_assets.evaluate.report.words import figure, percent

JUDGED = (
    ("eval_loss", "held-out loss"),
    ("eval_reward", "held-out reward"),
    ("preference_accuracy", "pairs told apart"),
)
"""Facts of a step that have a ``start_`` and a ``final_`` value, as a person reads them."""


def training(data: ReportData) -> list[dict[str, Any]]:
    """One block a step, in the line's order: ``asset, head, figures`` (label, value), ``plots``."""
    steps = {step["asset"]: step for step in data.steps}
    assets = [*steps, *(asset for asset in data.curves if asset not in steps)]
    blocks = []
    for asset in assets:
        step = steps.get(asset, {})
        plots = curve_plots(data.curves.get(asset, ()))
        if step or plots:
            blocks.append({"asset": asset, "head": head(step), "figures": figures(step, data), "plots": plots})
    return blocks


def head(step: Row) -> str:
    """Objective, update strategy and start in a few words."""
    return f"{step['objective']} with {step['update']}, from {step['start']}" if step else ""


def figures(step: Row, data: ReportData) -> list[tuple[str, str]]:
    """Pairs of label and value: rows and steps, held-out figures before and after, the paired gain over its start."""
    if not step:
        return []
    facts = step["facts"]
    found = [("trained on", f"{facts['num_trained_rows']:,} rows in {facts['steps']:,} steps")]
    for name, label in JUDGED:
        before, after = facts.get(f"start_{name}"), facts.get(f"final_{name}")
        if before is not None and after is not None:
            shown = (
                f"{percent(value)} %" if name == "preference_accuracy" else figure(value) for value in (before, after)
            )
            found.append((label, " → ".join(shown)))
    if facts.get("preference_gain") is not None:
        ends = {"low": facts["preference_gain_low"], "high": facts["preference_gain_high"]}
        count = facts["num_held_out_pairs"]
        found.append((f"gain on {count} held-out pairs", _points({"value": facts["preference_gain"], **ends})))
    asked = {"model": step["asset"], "baseline": step["start"], "metric": "accuracy"}
    gain = next((row for row in data.comparisons if asked.items() <= row.items()), None)
    if gain:
        found.append((f"accuracy against {step['start'].removesuffix('_model')}", _points(gain)))
    return found


def _points(gain: Row) -> str:
    value, low, high = (percent(gain[name], signed=True) for name in ("value", "low", "high"))
    return f"{value} points ({low} to {high})"


def curve_plots(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A chart for each quantity that a step logged at least twice."""
    return [{"title": title, **curve_plot(lines)} for title, lines in curve_charts(rows).items()]


def curve_plot(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Any]:
    """One chart: its drawing, the least and greatest value, the first and last step, where each line ends."""
    steps = [step for line in lines.values() for step in line[0]]
    values = [value for line in lines.values() for value in line[1]]
    return {
        "svg": charts.curve([list(zip(*line, strict=True)) for line in lines.values()]),
        "low": min(values),
        "high": max(values),
        "last": {name: line[1][-1] for name, line in lines.items()},
        "steps": (min(steps), max(steps)),
    }
