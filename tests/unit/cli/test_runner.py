"""What a dead run leaves behind is put right before the next one."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from kt_assets.cli.runner import PID_TAG, close_dead_runs
from kt_resources.home import dagster_instance, ensure_home


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("KT_HOME", str(tmp_path))
    with dagster_instance(ensure_home(tmp_path)) as found:
        yield found


def started_run(instance: dg.DagsterInstance, pid: int) -> str:
    run = instance.create_run_for_job(_job(), status=dg.DagsterRunStatus.STARTED, tags={PID_TAG: str(pid)})
    return run.run_id


def _job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def job() -> None:
        nothing()

    return job


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def claims(instance: dg.DagsterInstance, run_id: str) -> bool:
    return instance.event_log_storage.claim_concurrency_slot("gpu", run_id, "step").is_claimed


def test_a_run_whose_process_is_gone_is_closed_and_gives_its_slot_back(instance: dg.DagsterInstance) -> None:
    run_id = started_run(instance, dead_pid())
    assert claims(instance, run_id)
    assert not claims(instance, "the next run")
    instance.event_log_storage.free_concurrency_slots_for_run("the next run")
    assert close_dead_runs(instance) == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None and run.status == dg.DagsterRunStatus.FAILURE
    assert claims(instance, "the next run")


def test_a_run_that_goes_on_keeps_its_slot(instance: dg.DagsterInstance) -> None:
    run_id = started_run(instance, os.getpid())
    assert claims(instance, run_id)
    assert close_dead_runs(instance) == []
    assert not claims(instance, "the next run")
