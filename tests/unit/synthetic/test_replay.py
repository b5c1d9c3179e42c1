"""Replay: the base model's own answers, finished ones alone, weighed in a mix under a name of their own."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from kt_assets.definitions import load_lines
from kt_assets.line import build_line
from kt_assets.synthetic.completions import Candidate
from kt_assets.synthetic.replay import finished_rows, general_prompts
from kt_resources.bases.fake import FakeBaseLoader
from kt_resources.contracts.judge import GreatExpectations
from kt_resources.generators.fake import FakeGenerator
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows


def test_the_requests_are_a_hundred_different_questions() -> None:
    rows = general_prompts()
    assert len(rows) == 100 == len({row["id"] for row in rows})
    assert rows[0]["origin"] == "general_prompts.txt:3"  # after two lines of comment
    assert all(row["completion"] is None for row in rows)


def test_what_did_not_end_or_says_nothing_is_left_out_and_counted() -> None:
    prompts = general_prompts()[:3]
    answers = [Candidate("The sea is wide."), Candidate("Apples, pears and", finished=False), Candidate("")]
    rows, counts = finished_rows(prompts, {p["id"]: [a] for p, a in zip(prompts, answers, strict=True)})
    assert counts == {"kept": 1, "unfinished": 1, "empty": 1}
    assert [(row["completion"], row["source"], row["parents"]) for row in rows] == [
        ("The sea is wide.", "replay", [prompts[0]["id"]])
    ]


def recipe(**data: Any) -> dict[str, Any]:
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    values = line.recipe.model_dump(mode="json")
    values["data"] |= data
    values["datasets"]["training_mix"]["weights"] = {"divisors": 0.75, "replay": 0.25}
    return values


def test_a_mix_takes_the_share_that_it_weighs(tmp_path: Path) -> None:
    tiny = next(line for line in load_lines()[0] if line.name == "tiny")
    line = build_line(Recipe.model_validate(recipe(replay={})), tiny.contracts, tiny.folder)
    assert set(line.stages["training_mix"].parents) == {"curated", "base", "replay"}
    names = ["base_model", "raw_examples", "eval_tasks", "curated_examples", "replay_examples", "training_mix"]
    chosen = [asset for asset in line.assets if asset.key.path[-1] in names]
    checks = [check for check in line.checks if next(iter(check.check_keys)).asset_key.path[-1] in names]
    store = Store(tmp_path)
    fakes = {
        "contracts": GreatExpectations(),
        "bases": FakeBaseLoader(),
        "generator": FakeGenerator(lambda prompt, index: "Of course."),
    }
    job = dg.define_asset_job("some", selection=dg.AssetSelection.assets(*(asset.key for asset in chosen)))
    definitions = dg.Definitions(assets=chosen, asset_checks=checks, jobs=[job], resources={"store": store, **fakes})
    assert definitions.resolve_job_def("some").execute_in_process().success
    artifact = store.current("tiny/training_mix")
    assert artifact is not None
    rows = [row for split in ("train", "validation") for row in read_rows(artifact.path(f"{split}.parquet"))]
    replayed = [row for row in rows if row["source"] == "replay"]
    assert all(row["completion"] == "Of course." for row in replayed)
    assert len(replayed) / len(rows) == pytest.approx(0.25, abs=0.02)


def test_a_mix_that_weighs_what_is_not_made_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"there is no data\.replay"):
        Recipe.model_validate(recipe())


def test_a_source_may_not_take_its_name() -> None:
    values = recipe(replay={})
    values["data"]["sources"][0]["name"] = "replay"
    with pytest.raises(ValidationError, match="may not be called 'replay'"):
        Recipe.model_validate(values)
