"""Launch a program: lease its devices, run it under Dagster Pipes, bring back its result or its error."""

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kt_resources.compute.devices import Device, find_devices
from kt_resources.compute.environment import command, environment
from kt_resources.compute.failure import failure
from kt_resources.compute.leases import Lease, lease
from kt_resources.compute.needs import Needs, Precision
from kt_resources.compute.process import Process
from kt_resources.compute.program import ProgramSpec, write_json
from kt_resources.errors import ComputeError


@dataclass(frozen=True)
class Launcher:
    """Launches programs on ``devices``, under the lease files in ``leases``.

    Attributes:
        leases: folder of the lease files, one a machine.
        devices: None finds those of the machine at each launch.
        lease_timeout_s: how long a program may wait for its devices; None: for ever.
    """

    leases: Path
    devices: Sequence[Device] | None = None
    lease_timeout_s: float | None = None

    def launch(self, module: str, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Run ``python -m module`` on ``spec`` to its end; its result, with what it took under ``compute``.

        A spec that has a field ``precision`` is given that of the lease.

        Args:
            context: the Dagster execution context; the program then reports to it through Dagster Pipes.

        Raises:
            KtError: the mistake that the program explained, in the class that it had there.
            ComputeError: no device can serve ``needs``, or the program ended otherwise (the end of its log is told).
        """
        tell: Callable[[str], None] = context.log.info if context is not None else print
        devices = self.devices if self.devices is not None else find_devices()
        with (
            lease(self.leases, devices, needs, self.lease_timeout_s, tell) as held,
            pipes_environment(context) as pipes,
        ):
            spec_file = write_spec(with_precision(spec, held.precision))
            variables = environment(os.environ, needs, held, online=spec.uses_network)
            started = time.monotonic()
            process = run_to_end(command(module, spec_file, needs, held), {**variables, **pipes}, held, spec.out_dir)
            threads = variables["OMP_NUM_THREADS"]
            return finish(module, spec, process, report(needs, held, process, threads, time.monotonic() - started))


def with_precision(spec: ProgramSpec, precision: Precision) -> ProgramSpec:
    """``spec`` with the precision that its device was found to compute in, where it has such a field."""
    return spec.model_copy(update={"precision": precision}) if "precision" in type(spec).model_fields else spec


def write_spec(spec: ProgramSpec) -> Path:
    """Write the spec where the program reads it, with a copy that travels with the artifact; drop an old outcome."""
    text = spec.model_dump_json(indent=2) + "\n"
    run_dir = spec.out_dir / "run"
    for folder in (spec.scratch_dir, run_dir):
        folder.mkdir(parents=True, exist_ok=True)
    for outcome in ("error.json", "result.json"):
        (run_dir / outcome).unlink(missing_ok=True)
    (run_dir / "spec.json").write_text(text)
    spec_file = spec.scratch_dir / "spec.json"
    spec_file.write_text(text)
    return spec_file


def run_to_end(arguments: Sequence[str], variables: dict[str, str], held: Lease, out_dir: Path) -> Process:
    """Start the program, leave the lease to it, wait; on any interrupt end its whole tree and raise the interrupt."""
    with (out_dir / "run" / "log.txt").open("wb") as log:
        process = Process(arguments, variables, log, held.file_descriptors)
        try:
            held.hand_over(process.pid)
            process.wait()
        except BaseException:
            process.stop()
            raise
        finally:
            process.sweep()
    return process


def report(needs: Needs, held: Lease, process: Process, threads: str, wall_s: float) -> dict[str, Any]:
    """What the program took: devices, threads a process, precision, seconds waited and worked, peak memory."""
    return {
        "devices": [f"{device.id} {device.name}" for device in held.devices],
        "device_kind": held.devices[0].kind,
        "device_memory_gb": held.devices[0].memory_gb,
        "num_processes": needs.devices,
        "threads": threads,
        "precision": held.precision,
        "lease_wait_s": round(held.wait_s, 2),
        "wall_s": round(wall_s, 2),
        "peak_memory_gb": process.peak_memory_gb,
    }


def finish(module: str, spec: ProgramSpec, process: Process, took: dict[str, Any]) -> dict[str, Any]:
    """The program's result with ``took`` under ``compute``, or the error that tells why there is none."""
    run_dir = spec.out_dir / "run"
    exit_code = process.poll() or 0
    if exit_code != 0:
        raise failure(module, exit_code, run_dir, (run_dir / "log.txt").read_text(errors="replace"))
    try:
        result = json.loads((run_dir / "result.json").read_text())
    except (OSError, ValueError) as error:
        mend = "the program must end with run_program(SpecClass, work)"
        raise ComputeError(f"{module} ended without a result", where=str(run_dir), mend=mend) from error
    result["compute"] = took
    write_json(run_dir / "result.json", result)
    return result


@contextlib.contextmanager
def pipes_environment(context: Any) -> Iterator[Mapping[str, str]]:
    """The environment variables of a Dagster Pipes session for ``context``; none without a context."""
    if context is None:
        yield {}
        return
    import dagster as dg

    warnings.filterwarnings("ignore", message=".*expected_writer_count", category=dg.PreviewWarning)
    with dg.open_pipes_session(
        context=context,
        context_injector=dg.PipesTempFileContextInjector(),
        message_reader=dg.PipesTempFileMessageReader(),
    ) as session:
        yield session.get_bootstrap_env_vars()
