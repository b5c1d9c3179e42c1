"""Every asset's four acts: resolve, read parents, make, commit; and what happens when one of them goes wrong."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kt_assets.checks import contract_checks
from kt_assets.stage import Made, Stage, Work
from kt_resources.contracts.contract import Contract, Rule
from kt_resources.contracts.judge import GreatExpectations
from kt_resources.errors import DataError
from kt_resources.store.store import Store
from kt_resources.strict import Strict

CONTRACT = Contract(
    name="rows",
    kind="dataset",
    table="facts.json",
    rules=(
        Rule(
            name="enough",
            why="w",
            expectation="expect_column_values_to_be_between",
            arguments={"column": "num", "min_value": 2},
        ),
    ),
)


class Config(Strict):
    num: int = 3
    word: str = "a"


SOURCE = Stage("line", "source", "room", "1", Config(), contract=CONTRACT)
SINK = Stage("line", "sink", "room", "1", Config(), parents={"rows": SOURCE})


def asset_of(stage: Stage, make: Any) -> dg.AssetsDefinition:
    @dg.asset(**stage.arguments())
    def asset(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make)

    return asset


def write_num(work: Work) -> Made:
    (work.out / "facts.json").write_text(json.dumps({"num": work.config.num}))
    return Made({"num": work.config.num, "words": {"a": 1}}, {"table": "| a |"}, own_work_seconds=1.5)


def run(store: Store, *assets: Any, config: dict[str, Any] | None = None, **options: Any) -> dg.ExecuteInProcessResult:
    resources = {"store": store, "contracts": GreatExpectations()}
    run_config = {"ops": {"line__source": {"config": config}}} if config else None
    return dg.materialize(list(assets), resources=resources, run_config=run_config, raise_on_error=False, **options)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_an_artifact_and_its_metadata_come_out(store: Store) -> None:
    result = run(store, asset_of(SOURCE, write_num))
    (event,) = result.get_asset_materialization_events()
    artifact = store.current("line/source")
    assert artifact is not None
    metadata = event.materialization.metadata
    assert metadata["num"].value == 3
    assert metadata["table"].value == "| a |"
    assert event.materialization.tags["dagster/data_version"] == artifact.data_version
    assert artifact.manifest.own_work_seconds == 1.5


def test_the_same_making_is_found_again_and_not_done_twice(store: Store) -> None:
    done = []
    asset = asset_of(SOURCE, lambda work: done.append(1) or write_num(work))
    run(store, asset), run(store, asset)
    assert len(done) == 1
    run(store, asset, config={"making": {"rebuild": True}})
    assert len(done) == 2


def test_a_launchpad_value_makes_another_version(store: Store) -> None:
    asset = asset_of(SOURCE, write_num)
    run(store, asset), run(store, asset, config={"num": 7})
    current = store.current("line/source")
    assert current is not None and current.manifest.config == {"num": 7, "word": "a"}


def test_a_parent_that_was_never_judged_is_refused(store: Store) -> None:
    run(store, asset_of(SOURCE, write_num))
    result = run(store, asset_of(SINK, write_num))
    assert not result.success
    assert "checks have not run" in message(result)


def test_a_parent_that_passed_is_read(store: Store) -> None:
    checks = contract_checks(SOURCE)
    assert run(store, asset_of(SOURCE, write_num), checks, asset_of(SINK, write_num)).success


def test_a_parent_that_failed_is_refused_in_a_later_run_of_its_own(store: Store) -> None:
    checks = contract_checks(SOURCE)
    first = run(store, asset_of(SOURCE, write_num), checks, config={"num": 1})
    assert not first.success
    later = run(store, asset_of(SINK, write_num))
    assert not later.success
    assert "enough" in message(later)
    assert store.current("line/sink") is None


def test_the_override_lets_it_through_and_the_manifest_says_so(store: Store) -> None:
    run(store, asset_of(SOURCE, write_num))
    resources = {"store": store, "contracts": GreatExpectations()}
    config = {"ops": {"line__sink": {"config": {"making": {"allow_unchecked": True}}}}}
    result = dg.materialize([asset_of(SINK, write_num)], resources=resources, run_config=config)
    assert result.success
    made = store.current("line/sink")
    assert made is not None and made.manifest.overrides == ["rows"]


def test_a_missing_parent_names_the_mend(store: Store) -> None:
    result = run(store, asset_of(SINK, write_num))
    assert "line/source: has not been materialized" in message(result)


def test_a_persons_mistake_is_told_without_a_stack_trace(store: Store) -> None:
    def fail(work: Work) -> Made:
        raise DataError("has no rows", where="raw.jsonl", mend="add rows")

    result = run(store, asset_of(SOURCE, fail))
    assert message(result) == "[data] raw.jsonl: has no rows\n  → add rows"
    assert store.current("line/source") is None


def test_a_stage_shows_as_stale_when_its_section_or_its_version_changes() -> None:
    changed = Stage("line", "source", "room", "1", Config(num=4))
    raised = Stage("line", "source", "room", "2", Config())
    versions = {stage.arguments()["code_version"] for stage in (SOURCE, changed, raised)}
    assert len(versions) == 3


def message(result: dg.ExecuteInProcessResult) -> str:
    failure = next(event for event in result.all_events if event.is_step_failure)
    data = failure.step_failure_data
    assert data.user_failure_data is not None, data.error
    return data.user_failure_data.description or ""
