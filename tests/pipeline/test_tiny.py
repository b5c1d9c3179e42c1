"""The whole pipeline on a random model: real programs, real entry points, real files."""

import json
from pathlib import Path
from typing import Any

import pytest

from kt_assets.definitions import load_lines
from kt_assets.plan.expected import expected_lengths
from kt_assets.plan.glance import Sources
from kt_assets.plan.steps import is_training, step_lengths
from kt_resources.store.tables import read_rows
from kt_resources.store.verdicts import read_verdict

ASSETS = [
    "base_model",
    "raw_examples",
    "eval_tasks",
    "curated_examples",
    "synthetic_examples",
    "training_mix",
    "sft_model",
    "preference_pairs",
    "preference_model",
    "rl_prompts",
    "grpo_model",
    "weekday_mix",
    "weekday_model",
    "merged_model",
    "gguf_model",
    "evaluation_report",
]
MODELS = ["base_model", "sft_model", "preference_model", "grpo_model", "weekday_model", "merged_model", "gguf_model"]


def test_every_stage_was_made_and_no_blocking_check_failed(tiny_run: tuple[Any, dict[str, Any]]) -> None:
    _, told = tiny_run
    assert [stage["asset"] for stage in told["stages"]] == ASSETS
    assert all(stage["version"] for stage in told["stages"])
    assert [check for check in told["failed_checks"] if check["severity"] == "error"] == []
    assert told["success"] is True


def test_every_artifact_is_whole(kt: Any) -> None:
    for name in ASSETS:
        assert kt.store.verify(kt.current(name)) == [], name


def test_every_contract_was_judged_on_the_version_that_is_current(kt: Any) -> None:
    from kt_assets.cli.lines import find_line

    for name, stage in find_line("tiny").stages.items():
        if stage.contract:
            assert read_verdict(kt.store, kt.current(name), stage.contract.hash) is not None, name


def test_curation_found_the_deliberate_dirt_and_kept_every_removed_row(kt: Any) -> None:
    artifact = kt.current("curated_examples")
    kept, removed = read_rows(artifact.path("examples.parquet")), read_rows(artifact.path("removed.parquet"))
    raw = read_rows(kt.current("raw_examples").path("examples.parquet"))
    assert len(kept) + len(removed) == len(raw)
    reasons = {row["reason"] for row in removed}
    assert len(reasons) >= 5, reasons
    assert all(row["detail"] for row in removed)


def test_no_evaluation_prompt_is_trained_on(kt: Any) -> None:
    from kt_resources.store.schemas import prompt_key

    held_out = {prompt_key(row) for row in read_rows(kt.current("eval_tasks").path("items.parquet"))}
    for dataset in ("training_mix", "weekday_mix", "preference_pairs", "rl_prompts"):
        trained = {prompt_key(row) for row in read_rows(kt.current(dataset).path("train.parquet"))}
        assert trained and not trained & held_out, dataset


@pytest.mark.parametrize("asset", ["preference_model", "grpo_model", "weekday_model"])
def test_an_adapter_step_leaves_adapter_model_and_curve(kt: Any, asset: str) -> None:
    artifact = kt.current(asset)
    assert artifact.path("adapter/adapter_model.safetensors").stat().st_size > 0
    assert artifact.path("model/model.safetensors").stat().st_size > 0
    curve = [json.loads(line) for line in artifact.path("run/curve.jsonl").read_text().splitlines()]
    assert curve


def test_a_step_starts_from_the_model_that_the_recipe_names(kt: Any) -> None:
    grpo, preference = kt.current("grpo_model"), kt.current("preference_model")
    assert grpo.manifest.parents["start"].asset == "tiny/preference_model"
    assert grpo.manifest.parents["start"].data_version == preference.data_version


def test_the_gguf_is_one_and_travels_with_what_it_needs(kt: Any) -> None:
    artifact = kt.current("gguf_model")
    assert artifact.path("model.gguf").read_bytes()[:4] == b"GGUF"
    assert "FROM ./model.gguf" in artifact.path("Modelfile").read_text()
    assert "<|im_start|>" in artifact.path("chat_template.jinja").read_text()
    assert "tiny" in artifact.path("README.md").read_text()


def test_the_report_has_every_model_with_intervals(kt: Any) -> None:
    told = kt.json("report", "tiny")
    assert [model["asset"] for model in told["models"]] == MODELS
    for model in told["models"]:
        accuracy = model["metrics"]["accuracy"]
        assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
        assert accuracy["n"] == 24
        assert model["data_version"] == kt.current(model["asset"]).data_version
    assert {check["asset"] for check in told["checks"]} >= {"curated_examples", "sft_model", "gguf_model"}
    assert {timing["asset"] for timing in told["timings"]} == set(ASSETS)
    page = Path(told["report"]).read_text()
    assert "<html" in page and "gguf_model" in page


def test_lineage_walks_from_the_gguf_to_the_source_rows_and_back(kt: Any) -> None:
    down = kt.json("lineage", "tiny/gguf_model")
    assert down["num_source_rows"] > 100
    sources = {row["asset"] for row in down["source_rows"]}
    assert "tiny/raw_examples" in sources
    row = next(row for row in down["source_rows"] if row["asset"] == "tiny/raw_examples")
    up = kt.json("lineage", "--row", row["id"])
    assert "tiny/gguf_model" in {model["asset"] for model in up["models"]}


def test_a_second_run_makes_nothing(kt: Any) -> None:
    assert {stage["was"] for stage in kt.json("run", "tiny")["stages"]} == {"fresh"}


def test_dagster_knows_every_version(kt: Any) -> None:
    told = kt.json("doctor")
    assert told["not_what_dagster_knows"] == []
    assert told["damaged"] == {}
    assert told["unfinished_mb"] == {}


def test_the_plan_expects_at_least_the_rows_that_were_made_and_about_their_lengths(kt: Any) -> None:
    """Curation and a policy that is never right take rows out; text is counted by no tokenizer."""
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    sources = Sources(line.recipe.data, line.folder)
    for stage in filter(is_training, line.stages.values()):
        made = step_lengths(stage, kt.store)
        expected = expected_lengths(stage, sources, made.model_copy(update={"longest": 256}))
        assert made.num_rows is not None and expected.num_rows is not None
        assert made.num_rows <= expected.num_rows
        assert expected.mean == pytest.approx(made.mean, rel=0.3)
