"""The code location loads fast, imports nothing heavy, and every recipe that ships parses."""

import ast
import json
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import dagster as dg
import pytest

from kt_assets.definitions import load_lines, recipe_folders
from kt_resources.recipes.loading import load_recipe

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "great_expectations", "lm_eval", "mergekit", "llama_cpp")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_definitions_import_nothing_heavy() -> None:
    code = f"import json, sys, kt_assets.definitions; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    assert json.loads(python(code)) == []


def test_definitions_load_in_under_three_seconds() -> None:
    code = "import time; t = time.process_time(); import kt_assets.definitions; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(2)) < 3.0


def test_the_recipe_schema_imports_neither_torch_nor_dagster() -> None:
    found = "[name for name in ('torch', 'dagster') if name in sys.modules]"
    assert json.loads(python(f"import json, sys, kt_resources.recipes.recipe; print(json.dumps({found}))")) == []


def test_resources_never_import_assets() -> None:
    wrong = []
    for path in (ROOT / "kt_resources").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.relative_to(ROOT)}:{node.lineno}" for name in names if name.split(".")[0] == "kt_assets"]
    assert wrong == []


RECIPES = sorted(path for folder in recipe_folders() for path in folder.glob("*/recipe.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_every_recipe_that_ships_parses(path: Path) -> None:
    assert load_recipe(path).line == path.parent.name


def test_the_default_line_has_every_stage_of_the_reference_pipeline() -> None:
    line = next(line for line in load_lines()[0] if line.name == "arithmetic")
    assert line.absent == {}
    data = {"raw_examples", "eval_tasks", "curated_examples", "synthetic_examples", "training_mix", "rl_prompts"}
    models = {"base_model", "sft_model", "preference_model", "grpo_model", "calendar_model", "merged_model"}
    assert set(line.stages) >= data | models | {"preference_pairs", "gguf_model", "evaluation_report"}


def test_the_code_location_is_valid() -> None:
    from kt_assets.definitions import defs

    dg.Definitions.validate_loadable(defs)


def test_every_stage_that_feeds_another_has_a_contract() -> None:
    for line in load_lines()[0]:
        for stage in line.stages.values():
            for parent in stage.parents.values():
                assert parent.contract is not None, f"{parent.asset} is read by {stage.asset} unchecked"


def test_every_check_of_a_contract_is_an_asset_check() -> None:
    from kt_assets.definitions import defs

    known = {(key.asset_key.to_user_string(), key.name) for key in defs.resolve_asset_graph().asset_check_keys}
    for line in load_lines()[0]:
        for stage in line.stages.values():
            for rule in stage.contract.rules if stage.contract else ():
                assert (stage.asset, rule.name) in known


def test_the_retraining_schedule_is_off_and_starts_the_whole_line() -> None:
    from datetime import datetime

    from kt_assets.definitions import defs

    schedule = defs.resolve_schedule_def("arithmetic_retrain")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    tick = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=tick) as context:
        requests = schedule.evaluate_tick(context).run_requests
    assert requests is not None and len(requests) == 1
    job = defs.resolve_job_def("arithmetic_line")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} >= {"raw_examples", "gguf_model"}


def test_a_broken_recipe_shows_its_error_and_leaves_the_other_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("line: broken\ncolour: red\n")
    monkeypatch.setenv("KT_RECIPES", str(tmp_path))
    from kt_assets.definitions import build_definitions

    graph = build_definitions().resolve_asset_graph()
    spec = graph.get(dg.AssetKey(["broken", "recipe"]))
    assert "colour: no such key" in (spec.description or "")
    assert dg.AssetKey(["arithmetic", "gguf_model"]) in graph.get_all_asset_keys()
