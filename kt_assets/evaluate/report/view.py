"""From :class:`ReportData` to what the template places: chosen samples, charts, sentences."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from kt_assets.evaluate.plots import curve_charts
from kt_assets.evaluate.report import charts, lineage
from kt_assets.evaluate.report.data import UNTRAINED, ReportData, Row

MAX_ANSWER_CHARS = 280


def view(data: ReportData) -> dict[str, Any]:
    """Everything that the template names."""
    return {
        "data": data,
        "headline": headline(data),
        "panels": panels(data),
        "metric_names": metric_names(data.models),
        "curves": curve_plots(data.curves),
        "funnel": funnel(data.curation),
        "samples": sample_cards(data),
        "check_counts": check_counts(data.checks),
        "checks": by_asset(sorted(data.checks, key=lambda check: (check["passed"], check["severity"] != "error"))),
        "lineage": lineage_rows(data.artifacts),
        "costs": costs(data),
    }


def headline(data: ReportData) -> dict[str, Any]:
    """The shipped model's accuracy beside what needs no training, and its gain over the best of that."""
    base, shipped = data.base, data.shipped
    rivals = [] if shipped is base else rival_rows(data, "accuracy")
    best = max(rivals, key=lambda rival: rival["metric"]["value"], default=None)
    asked = {"model": shipped["asset"], "metric": "accuracy", "baseline": best["name"] if best else None}
    found = [row for row in data.comparisons if asked.items() <= row.items()]
    gain = found[0] if found else None
    sure = gain is not None and (gain["low"] > 0 or gain["high"] < 0)
    return {
        "base": base,
        "shipped": shipped,
        "before": base["metrics"].get("accuracy"),
        "after": shipped["metrics"].get("accuracy"),
        "rivals": rivals,
        "best": best,
        "gain": gain,
        "sure": sure,
    }


def rival_rows(data: ReportData, name: str) -> list[dict[str, Any]]:
    """What needs no training, measured by ``name`` (``accuracy`` or ``accuracy/<family>``): ``name, label, metric``."""
    rows = [{"name": data.base["asset"], "label": data.base["step"], "metric": data.base["metrics"].get(name)}]
    for baseline, label in UNTRAINED.items():
        metric = data.baselines.get(name.replace("accuracy", baseline, 1))
        rows.append({"name": baseline, "label": label, "metric": metric})
    return [row for row in rows if row["metric"]]


def families(models: Sequence[Row]) -> list[str]:
    """The families that any model was asked, in the order of their names."""
    parts = (name.partition("/") for model in models for name in model["metrics"])
    return sorted({family for metric, _, family in parts if metric == "accuracy" and family})


def panels(data: ReportData) -> list[dict[str, Any]]:
    """One panel for all items and one a family: ``untrained`` and ``trained`` rows on one common scale.

    ``mark`` is the best of what needs no training, the bar that training has to pass.
    """
    names = ["accuracy", *(f"accuracy/{family}" for family in families(data.models))]
    untrained = {name: rival_rows(data, name) for name in names}
    trained = {name: [model for model in data.models[1:] if name in model["metrics"]] for name in names}
    highs = [row["metric"]["high"] for rows in untrained.values() for row in rows]
    top = charts.scale_top([*highs, *(m["metrics"][name]["high"] for name in names for m in trained[name])])
    found = []
    for name in names:
        mark = max((row["metric"]["value"] for row in untrained[name]), default=None)

        def drawn(label: str, metric: Row, shipped: bool = False, mark: float | None = mark) -> dict[str, Any]:
            svg = charts.interval(metric, top, mark)
            return {"label": label, "metric": metric, "svg": svg, "shipped": shipped}

        found.append(
            {
                "title": "All held-out items" if name == "accuracy" else name.split("/", 1)[1],
                "untrained": [drawn(row["label"], row["metric"]) for row in untrained[name]],
                "trained": [drawn(m["step"], m["metrics"][name], m is data.shipped) for m in trained[name]],
                "top": top,
                "mark": mark,
            }
        )
    return found


def metric_names(models: Sequence[Row]) -> list[str]:
    """The metrics of any model that the table shows, in the order in which they were measured."""
    measured = dict.fromkeys(name for model in models for name in model["metrics"])
    return [name for name in measured if not name.startswith(("lenient_accuracy/", "token_"))]


def curve_plots(curves: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """A chart for each training step and each quantity that it logged at least twice."""
    return [
        {"asset": asset, "title": title, **curve_plot(lines)}
        for asset, rows in curves.items()
        for title, lines in curve_charts(rows).items()
    ]


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


def funnel(curation: Row) -> list[dict[str, Any]]:
    """Rows ``label, count, share, kind``: all raw rows, what each reason took, what is left."""
    if not curation.get("raw"):
        return []
    raw = curation["raw"]
    removed = sorted(curation.get("removed", {}).items(), key=lambda item: -item[1])
    rows = [("raw rows", raw, "raw"), *((reason, count, "removed") for reason, count in removed)]
    rows.append(("kept", curation["kept"], "kept"))
    return [{"label": label, "count": count, "share": count / raw, "kind": kind} for label, count, kind in rows]


def sample_cards(data: ReportData) -> list[dict[str, Any]]:
    """Held-out prompts with every model's answer: half that the shipped model got right, half wrong."""
    by_item: dict[tuple[str, str], dict[str, Row]] = {}
    for row in data.samples:
        by_item.setdefault((row["task"], row["id"]), {})[row["model"]] = row
    chosen = choose(by_item, data.shipped["asset"], data.num_samples, data.seed)
    steps = {model["asset"]: model["step"] for model in data.models}
    cards = []
    for task, key in chosen:
        answers = [by_item[task, key][asset] for asset in steps if asset in by_item[task, key]]
        card = {"task": task, "id": key, "question": answers[0]["question"], "truth": answers[0]["answer"]}
        cards.append({**card, "answers": alike(answers, steps)})
    return cards


def alike(answers: Sequence[Row], steps: Mapping[str, str]) -> list[dict[str, Any]]:
    """The different answers, each with the ``steps`` that gave it and a ``text`` that is cut where it is long."""
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for row in answers:
        clipped = len(row["completion"]) > MAX_ANSWER_CHARS
        shown = {**row, "steps": [], "text": row["completion"][:MAX_ANSWER_CHARS].strip(), "clipped": clipped}
        groups.setdefault((row["completion"], row["stopped"]), shown)["steps"].append(steps[row["model"]])
    return list(groups.values())


def choose(
    by_item: Mapping[tuple[str, str], Mapping[str, Row]], asset: str, count: int, seed: int
) -> list[tuple[str, str]]:
    """At most ``count`` items, drawn with ``seed``: half of those that ``asset`` got right, half of the others."""
    keys = sorted(by_item)
    random.Random(seed).shuffle(keys)
    right = [key for key in keys if asset in by_item[key] and by_item[key][asset]["score"] >= 1]
    wrong = [key for key in keys if key not in set(right)]
    num_right = min(len(right), max(count - len(wrong), (count + 1) // 2))
    return sorted(right[:num_right] + wrong[: count - num_right])


def check_counts(checks: Sequence[Row]) -> dict[str, int]:
    """How many checks passed, failed, or failed as a warning."""
    failed = [check for check in checks if not check["passed"]]
    errors = sum(check["severity"] == "error" for check in failed)
    return {"passed": len(checks) - len(failed), "failed": errors, "warned": len(failed) - errors}


def by_asset(checks: Sequence[Row]) -> dict[str, list[Row]]:
    """The checks of each asset, assets with a failed check first."""
    grouped: dict[str, list[Row]] = {}
    for check in checks:
        grouped.setdefault(check["asset"], []).append(check)
    return grouped


def lineage_rows(artifacts: Sequence[Row]) -> list[dict[str, Any]]:
    """One row an artifact: its drawing, asset, short version, size, all its parents."""
    if not artifacts:
        return []
    rows, versions = lineage.rails(artifacts), lineage.short_versions(artifacts)
    by_name, width = {artifact["asset"]: artifact for artifact in artifacts}, lineage.num_lanes(rows)
    return [
        {
            "svg": lineage.rail_svg(row, width),
            "asset": row.asset,
            "version": versions[row.asset],
            "parents": [(parent, versions.get(parent, "")) for parent in by_name[row.asset]["parents"]],
            "size_mb": by_name[row.asset].get("size_mb"),
        }
        for row in rows
    ]


def costs(data: ReportData) -> dict[str, Any]:
    """Seconds, memory and size of each asset, and the totals."""
    sizes = {artifact["asset"]: artifact.get("size_mb") for artifact in data.artifacts}
    longest = max((timing["seconds"] for timing in data.timings), default=0) or 1
    rows = [
        {
            **timing,
            "size_mb": sizes.get(timing["asset"]),
            "share": timing["seconds"] / longest,
            "own_share": min(timing["own_work_seconds"] or 0, timing["seconds"]) / longest,
        }
        for timing in data.timings
    ]
    return {
        "rows": rows,
        "seconds": sum(timing["seconds"] for timing in data.timings),
        "own_work_seconds": sum(timing["own_work_seconds"] or 0 for timing in data.timings),
        "size_mb": sum(size or 0 for size in sizes.values()),
        "peak_memory_gb": max((timing.get("peak_memory_gb") or 0 for timing in data.timings), default=0),
    }
