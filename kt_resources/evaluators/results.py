"""The evaluation's result: metrics of every model, comparisons with the first, gates, and one row of facts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_resources.compute.program import write_json
from kt_resources.evaluators.bootstrap import mean_interval
from kt_resources.evaluators.config import ABILITY, Bootstrap, Evaluation
from kt_resources.evaluators.gates import FEW_SHOT_BASE, UNTRAINED, forgetting_gates, judge_gates
from kt_resources.evaluators.metrics import Gains, item_scores, model_metrics, untrained_items
from kt_resources.evaluators.spec import EvaluatedModel
from kt_resources.store.fingerprint import hash_json

Measured = Mapping[str, Any]
"""What was seen of one model: ``items`` (rows); as far as asked ``general`` (columns), ``ability`` (item id → score)
and, of the first one, ``few_shot`` (rows like ``items``, asked after worked examples)."""

SAMPLE_COLUMNS = (
    "model",
    "task",
    "id",
    "question",
    "prompt",
    "completion",
    "answer",
    "score",
    "lenient_score",
    "stopped",
    "num_tokens",
)


def results_of(models: Sequence[EvaluatedModel], measured: Sequence[Measured], config: Evaluation) -> dict[str, Any]:
    """``results.json``: ``models``, ``comparisons``, ``baselines``, ``gates``, ``facts``.

    Args:
        measured: of each model, in the order of ``models``.

    Raises:
        EvaluateError: a gate names what was not measured.
    """
    rows: list[dict[str, Any]] = []
    for model, seen in zip(models, measured, strict=True):
        metrics = model_metrics(seen, config.bootstrap)
        named = model.model_dump(mode="json", include={"asset", "step", "data_version", "made_from"})
        rows.append({**named, "metrics": metrics})
    by_asset = {model.asset: seen for model, seen in zip(models, measured, strict=True)}
    gains = Gains(rows, by_asset, config.bootstrap)
    untrained = baselines(measured[0], config.bootstrap)
    gates = [*config.gates, *forgetting_gates(config, rows[0]["asset"], shipped_model(rows))]
    results = {
        "models": [{**row, "metrics": _plain(row["metrics"])} for row in rows],
        "comparisons": comparisons(rows, gains, [name for name in UNTRAINED if name in untrained]),
        "baselines": untrained,
        "gates": [verdict.model_dump() for verdict in judge_gates(gates, rows, gains)],
    }
    return {**results, "facts": facts(results, measured, gains)}


def baselines(base: Measured, options: Bootstrap) -> dict[str, Any]:
    """What needs no training: each of ``UNTRAINED`` over all items and by ``/<family>``, as far as it was measured."""
    names = [name for name in UNTRAINED if name != FEW_SHOT_BASE or base.get("few_shot")]
    found = {}
    for name in names:
        items = untrained_items(name, base)
        for family in ("", *(f"/{family}" for family in sorted({item["family"] for item in items}))):
            scores = item_scores(items, f"accuracy{family}")
            found[f"{name}{family}"] = mean_interval(scores, options).model_dump()
    return found


def comparisons(rows: Sequence[Mapping[str, Any]], gains: Gains, untrained: Iterable[str]) -> list[dict[str, Any]]:
    """Paired gains, positive is better: rows ``model, baseline, metric, value, low, high, n``.

    Of each model over the first one (every metric), over what it was made from and over what needs no training
    (accuracy, all items and by family).
    """
    base = rows[0]["asset"]
    found = []
    for row in rows[1:]:
        accuracies = [name for name in row["metrics"] if name.partition("/")[0] == "accuracy"]
        asked = [(base, name) for name in rows[0]["metrics"] if name in row["metrics"]]
        others = [other["asset"] for other in rows if other["asset"] in row["made_from"] and other["asset"] != base]
        asked += [(name, metric) for name in (*others, *untrained) for metric in accuracies]
        for baseline, metric in asked:
            gain = gains(metric, row["asset"], baseline).model_dump()
            found.append({"model": row["asset"], "baseline": baseline, "metric": metric, **gain})
    return found


def facts(results: Mapping[str, Any], measured: Sequence[Measured], gains: Gains) -> dict[str, Any]:
    """One flat row for the report's contract; what cannot be said of this line is left out."""
    models, asked = results["models"], [prompts_hash(seen["items"]) for seen in measured]
    counts = [metric["n"] for model in models for name, metric in model["metrics"].items() if name.startswith("acc")]
    unmet = [gate for gate in results["gates"] if not gate["passed"]]
    failed = {level: [gate["name"] for gate in unmet if gate["severity"] == level] for level in ("error", "warn")}
    row: dict[str, Any] = {
        "num_models": len(models),
        "num_items": len(measured[0]["items"]),
        "min_items_per_family": min(counts),
        "all_models_evaluated": all(len(seen["items"]) == len(measured[0]["items"]) for seen in measured),
        "same_items_for_all": len({ids_hash(seen["items"]) for seen in measured}) == 1,
        "same_prompts_for_all": len(set(asked)) == 1,
        "all_scores_in_range": all(0 <= item["score"] <= 1 for seen in measured for item in seen["items"]),
        "num_gates": len(results["gates"]),
        "num_gates_failed": len(failed["error"]),
        "num_gates_warned": len(failed["warn"]),
        "failed_gates": ", ".join(failed["error"] + failed["warn"]),
        "min_stops": min(model["metrics"]["stops"]["value"] for model in models[1:] or models),
    }
    return row | shipped_facts(results, gains)


def shipped_facts(results: Mapping[str, Any], gains: Gains) -> dict[str, Any]:
    """Facts about the shipped model: its accuracy, its gain over the first model, what quantization cost it."""
    by_asset = {model["asset"]: model for model in results["models"]}
    base, shipped = results["models"][0], shipped_model(results["models"])
    row: dict[str, Any] = {
        "shipped": shipped["asset"],
        "shipped_accuracy": shipped["metrics"]["accuracy"]["value"],
        "shipped_stops": shipped["metrics"]["stops"]["value"],
    }
    for name, baseline in (("shipped_gain", base["asset"]), *((f"shipped_gain_over_{b}", b) for b in UNTRAINED)):
        if shipped is not base and baseline in {base["asset"], *results["baselines"]}:
            gain = gains("accuracy", shipped["asset"], baseline)
            row |= {name: gain.value, f"{name}_low": gain.low}
    if {"merged_model", "gguf_model"} <= by_asset.keys():
        change = gains("accuracy", "gguf_model", "merged_model")
        row |= {"gguf_minus_merged": change.value, "gguf_minus_merged_low": change.low}
    for name, metric in (("perplexity", "word_perplexity"), ("answer_perplexity", "answer_perplexity")):
        if metric in shipped["metrics"]:
            row[f"{name}_ratio_to_base"] = gains.ratio(metric, shipped["asset"], base["asset"]).value
    if ABILITY in shipped["metrics"]:
        row["general_ability_change"] = gains(ABILITY, shipped["asset"], base["asset"]).value
    return row


def shipped_model(models: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The model that leaves the house: ``gguf_model`` where there is one, else the last."""
    return next((model for model in models if model["asset"] == "gguf_model"), models[-1])


def ids_hash(items: Sequence[Mapping[str, Any]]) -> str:
    """A hash of which items were asked."""
    return hash_json(sorted([item["task"], item["id"]] for item in items))


def prompts_hash(items: Sequence[Mapping[str, Any]]) -> str:
    """A hash of which items were asked in which words, chat template included."""
    return hash_json(sorted([item["task"], item["id"], item["prompt"]] for item in items))


def sample_rows(models: Sequence[EvaluatedModel], measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Every answer of every model, one row each; the answers after examples as those of ``few_shot_base``."""
    pairs = zip(models, measured, strict=True)
    answers = [{**item, "model": model.asset} for model, seen in pairs for item in seen["items"]]
    return answers + [{**item, "model": FEW_SHOT_BASE} for item in measured[0].get("few_shot") or ()]


def write_results(out_dir: Path, results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
    """Write ``results.json``, ``facts.json`` and ``samples.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_json(out_dir / "results.json", {key: value for key, value in results.items() if key != "facts"})
    write_json(out_dir / "facts.json", results["facts"])
    types = {"score": pa.float64(), "lenient_score": pa.float64(), "stopped": pa.bool_(), "num_tokens": pa.int32()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in SAMPLE_COLUMNS])
    rows = [{name: sample[name] for name in SAMPLE_COLUMNS} for sample in samples]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out_dir / "samples.parquet")


def read_results(folder: Path) -> dict[str, Any]:
    """``results.json`` of an evaluation report."""
    return json.loads((folder / "results.json").read_text())


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric.model_dump() for name, metric in metrics.items()}
