"""From :class:`ReportData` to what the template places: chosen samples, charts, sentences."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from kt_assets.evaluate.report import lineage
from kt_assets.evaluate.report.data import UNTRAINED, ReportData, Row
from kt_assets.evaluate.report.panels import accuracy_panels, answer_panels, gain_panel, kept_panels, rival_rows
from kt_assets.evaluate.report.training import training
from kt_assets.evaluate.report.words import percent

FEW_SHOT = "few_shot_base"
MAX_ANSWER_CHARS = 280


def view(data: ReportData) -> dict[str, Any]:
    """Everything that the template names."""
    return {
        "data": data,
        "headline": headline(data),
        "panels": accuracy_panels(data) + answer_panels(data),
        "gains": gain_panel(data),
        "kept": kept_panels(data),
        "metric_names": metric_names(data.models),
        "training": training(data),
        "funnel": funnel(data.curation),
        "samples": sample_cards(data),
        "check_counts": check_counts(data.checks),
        "verdict_counts": check_counts([*data.checks, *data.gates]),
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
        "told": told(rivals, data.num_examples),
    }


def told(rivals: Sequence[Row], num_examples: int) -> str:
    """Everything that needs no training in one sentence, with its figures."""
    words = {
        "lenient_base": "its answers counted in whatever form",
        "few_shot_base": f"after {num_examples} worked examples, counted likewise",
        "majority_answer": "always the commonest answer of the family",
    }
    parts = (f"{words.get(row['name'], 'the base model')} {percent(row['metric']['value'])} %" for row in rivals)
    sentence = "; ".join(parts) if len(rivals) > 1 else ""
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""


def metric_names(models: Sequence[Row]) -> list[str]:
    """The metrics of any model that the table shows, in the order in which they were measured."""
    measured = dict.fromkeys(name for model in models for name in model["metrics"])
    return [name for name in measured if not name.startswith(("lenient_accuracy/", "token_"))]


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
    base, *others = ((model["asset"], model["step"]) for model in data.models)
    steps = dict([base, (FEW_SHOT, UNTRAINED[FEW_SHOT]), *others])
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
    """How many checks (or gates) passed, failed, or failed as a warning."""
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
