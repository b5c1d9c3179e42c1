"""What the store knows of a line, gathered for its report."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kt_assets.evaluate.report import ReportData
from kt_assets.stage import Stage
from kt_resources.store.manifest import Manifest, host_facts
from kt_resources.store.store import Artifact, Store
from kt_resources.store.tables import read_rows
from kt_resources.store.verdicts import read_verdict


def stages_behind(stage: Stage) -> list[Stage]:
    """``stage`` and every stage that it is made from, each once, sources first."""
    found: dict[str, Stage] = {}

    def visit(here: Stage) -> None:
        for parent in here.parents.values():
            if parent.name not in found:
                visit(parent)
        found[here.name] = here

    visit(stage)
    return list(found.values())


def report_data(stage: Stage, store: Store, folder: Path) -> ReportData:
    """Everything that the report of ``stage`` shows.

    Args:
        folder: where ``results.json`` and ``samples.parquet`` lie: the artifact, or the one being made.
    """
    results = json.loads((folder / "results.json").read_text())
    current = [(here, store.current(here.asset)) for here in stages_behind(stage)]
    # the last report's version, checks and seconds are not those of the one being made
    made = [(here, one) for here, one in current if one and (here is not stage or one.folder == folder)]
    return ReportData(
        line=stage.line,
        models=results["models"],
        comparisons=results["comparisons"],
        baselines=results["baselines"],
        gates=results["gates"],
        num_examples=getattr(getattr(stage.config, "few_shot", None), "num_examples", 0),
        samples=read_rows(folder / "samples.parquet"),
        num_samples=getattr(stage.config, "num_samples", 6),
        steps=[_step(here, artifact.manifest) for here, artifact in made if here.room == "train"],
        curves={here.name: curve for here, artifact in made if (curve := _curve(artifact))},
        curation=_curation(made),
        checks=list(_checks(made, store)),
        timings=[_timing(here, artifact.manifest) for here, artifact in made],
        artifacts=[_artifact_row(here, artifact.manifest) for here, artifact in made],
        recipe=_recipe(stage),
        gguf=_gguf(made),
        made=_made_on(),
    )


def _step(stage: Stage, manifest: Manifest) -> dict[str, Any]:
    facts = manifest.facts
    axes = {"objective": facts["objective"], "update": facts["update"]}
    return {"asset": stage.name, **axes, "start": stage.parents["start"].name, "facts": facts}


def _curve(artifact: Artifact) -> list[dict[str, Any]]:
    path = artifact.folder / "run" / "curve.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _curation(made: Iterable[tuple[Stage, Artifact]]) -> dict[str, Any]:
    facts = next((artifact.manifest.facts for here, artifact in made if here.name == "curated_examples"), None)
    return {"raw": facts["num_raw"], "kept": facts["num_kept"], "removed": facts["removed"]} if facts else {}


def _checks(made: Iterable[tuple[Stage, Artifact]], store: Store) -> Iterable[dict[str, Any]]:
    for here, artifact in made:
        verdict = read_verdict(store, artifact, here.contract.hash) if here.contract else None
        for rule in verdict.rules if verdict else ():
            yield {
                "asset": here.name,
                "name": rule.rule,
                "passed": rule.passed,
                "severity": rule.severity,
                "observed": rule.observed,
            }


def _timing(stage: Stage, manifest: Manifest) -> dict[str, Any]:
    row: dict[str, Any] = {
        "asset": stage.name,
        "seconds": manifest.seconds,
        "own_work_seconds": manifest.own_work_seconds,
    }
    compute = manifest.facts.get("compute", {})
    if "peak_memory_gb" in compute:
        row["peak_memory_gb"] = compute["peak_memory_gb"]
    if "tokens_per_s" in manifest.facts:
        row["tokens_per_second"] = manifest.facts["tokens_per_s"]
    return row


def _artifact_row(stage: Stage, manifest: Manifest) -> dict[str, Any]:
    return {
        "asset": stage.name,
        "version": manifest.data_version[:12],
        "parents": [parent.name for parent in stage.parents.values()],
        "size_mb": sum(file.size for file in manifest.files.values()) / 1e6,
    }


def _recipe(stage: Stage) -> str:
    """What a person wrote, as it stands now."""
    file = stage.folder / "recipe.yaml" if stage.folder else None
    return file.read_text(encoding="utf-8") if file and file.is_file() else ""


def _made_on() -> str:
    host = host_facts()
    return f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {host['system']} {host['machine']}."


def _gguf(made: Iterable[tuple[Stage, Artifact]]) -> dict[str, Any]:
    for here, artifact in made:
        if here.name == "gguf_model":
            entry = artifact.manifest.files["model.gguf"]
            quant = artifact.manifest.config["target"]["quant"]
            return {
                "file": "model.gguf",
                "size_mb": entry.size / 1e6,
                "quant": quant,
                "bits_per_weight": artifact.manifest.facts.get("bits_per_weight"),
                "path": str(artifact.folder / "model.gguf"),
            }
    return {}
