"""Make what is stale of a line: one Dagster run in this process, with the line's own job."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from kt_assets.line import Line
from kt_resources.store.store import Store

RunConfig = dict[str, Any]
PID_TAG = "kt/pid"
INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
"""How Dagster names a step that Ctrl-C or SIGTERM ended."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: stages by what became of them, and the message of each that failed."""

    run_id: str
    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def success(self) -> bool:
        return not self.failed and not self.interrupted


def new_run_id() -> str:
    return str(uuid.uuid4())


def run_stages(
    line: Line,
    names: Sequence[str],
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    run_id: str,
    ops: RunConfig,
) -> Outcome:
    """Materialize the named stages and run their checks; what is made stays made whatever happens.

    Args:
        ops: config of stages by op name, as the Launchpad would give it.
    """
    close_dead_runs(instance)
    job = definitions.resolve_job_def(line.job_name)
    keys = [line.stages[name].key for name in names]
    try:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=keys,
            run_id=run_id,
            run_config=QUIET | {"ops": ops},
            raise_on_error=False,
            tags={PID_TAG: str(os.getpid())},
        )
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        _cancel(instance, run_id)
        return Outcome(run_id, interrupted=True)
    made = [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]
    told = failures(result)
    interrupted = [step for step, message in told.items() if INTERRUPTED in message]
    return Outcome(run_id, made, {k: v for k, v in told.items() if k not in interrupted}, bool(interrupted))


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The message of each failed step, by its name; steps that were never tried do not count."""
    told = {}
    for event in result.all_events:
        if not event.is_step_failure or event.step_key is None:
            continue
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            told[event.step_key] = data.user_failure_data.description
        elif data.error:
            cause = data.error.cause or data.error
            told[event.step_key] = cause.message.strip()
    return told


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose process (by :data:`PID_TAG`) is gone, and give back the pool slots that they held.

    The UI would show such a run as going on, and the next run would wait for its slot for ever: the daemon frees
    slots only while it runs.
    """
    closed = []
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        pid = run.tags.get(PID_TAG)
        if pid and not _alive(int(pid)):
            told = "The process that ran it is gone; `kt run` goes on from its checkpoint."
            instance.report_run_failed(run, message=told)
            closed.append(run.run_id)
    free_slots_of_ended_runs(instance)
    return closed


def free_slots_of_ended_runs(instance: dg.DagsterInstance) -> None:
    """Give back every pool slot whose run has ended or is unknown."""
    storage = instance.event_log_storage
    for key in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(key)
        for run_id in info.active_run_ids | info.pending_run_ids:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                storage.free_concurrency_slots_for_run(run_id)


def failed_checks(line: Line, store: Store, names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """(stage, rule, severity, observed) of every rule that does not hold on the current versions."""
    from kt_resources.store.verdicts import read_verdict

    found: list[tuple[str, str, str, str]] = []
    for name in names:
        stage, artifact = line.stages[name], store.current(line.stages[name].asset)
        verdict = read_verdict(store, artifact, stage.contract.hash) if artifact and stage.contract else None
        for rule in verdict.rules if verdict else []:
            if not rule.passed:
                found.append((name, rule.rule, rule.severity, rule.observed))
    return found


def _cancel(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run and not run.is_finished:
        instance.report_run_canceled(run)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
