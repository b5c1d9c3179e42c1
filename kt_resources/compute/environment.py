"""The command line and the environment of a program: pure functions of its spec, needs and lease."""

import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path

from kt_resources.compute.devices import Device
from kt_resources.compute.leases import Lease
from kt_resources.compute.needs import Needs, accelerate_arguments
from kt_resources.compute.precision import DEVICE_VARIABLE, PRECISION_VARIABLE

QUIET = {
    "COMET_MODE": "disabled",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_MODE": "disabled",
}
"""Telemetry, analytics and experiment trackers of the libraries that we use, off; a value of the person's own wins."""

RUNTIME = {"GOMP_SPINCOUNT": "10000", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"}
"""What OpenMP and the C library read as a process starts; a value of the person's own wins.

Turns for which an OpenMP thread waits busily for the others: by default they spin so long that, on a machine with other
work, two threads are slower than one. And no caches of freed scraps: before 2.38 they keep glibc from joining what lies
about an aligned block, so that the next block of that size does not fit where the last one was
(https://sourceware.org/bugzilla/show_bug.cgi?id=14581), and all of torch's blocks are aligned.
"""

VISIBILITY = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def be_quiet(environment: MutableMapping[str, str] | None = None) -> None:
    """Switch telemetry off in ``environment`` (this process's own by default), where the person said nothing."""
    target = os.environ if environment is None else environment
    for name, value in QUIET.items():
        target.setdefault(name, value)


def leave_out(module: str) -> None:
    """Let this process's libraries find ``module`` not installed: what they would import for nothing takes time."""
    sys.modules[module] = None  # type: ignore[assignment]


def command(module: str, spec_file: Path, needs: Needs, lease: Lease) -> list[str]:
    """``python -m module --spec file``, through ``accelerate launch`` where there is more than one device."""
    program = ["-m", module, "--spec", str(spec_file)]
    if needs.devices == 1:
        return [sys.executable, *program]
    arguments = accelerate_arguments(needs, lease.devices[0].kind, lease.precision)
    return [sys.executable, "-m", "accelerate.commands.launch", *arguments, *program]


def visible_devices(devices: Sequence[Device]) -> dict[str, str]:
    """Environment variables with which a program sees exactly ``devices``."""
    kind = devices[0].kind
    if kind == "cuda":
        chosen = ",".join(device.visible_as for device in devices)
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": chosen}
    if kind == "rocm":
        return {"ROCR_VISIBLE_DEVICES": ",".join(device.visible_as for device in devices)}
    return {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}


def threads_each(needs: Needs) -> int:
    """Cores that this process may use, shared by the program's processes; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // needs.devices)


def environment(base: Mapping[str, str], needs: Needs, lease: Lease, online: bool = False) -> dict[str, str]:
    """``base`` plus what the program should see: its devices, its precision, no telemetry, no network.

    ``HF_HUB_OFFLINE`` and ``OMP_NUM_THREADS`` keep a value that the person has set; ``online`` is for a program whose
    recipe names a hub id.
    """
    result = {name: value for name, value in base.items() if name not in VISIBILITY}
    be_quiet(result)
    offline = "0" if online else "1"
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        result.setdefault(name, offline)
    result.setdefault("OMP_NUM_THREADS", str(threads_each(needs)))
    for name, value in RUNTIME.items():
        result.setdefault(name, value)
    result.setdefault("PYTHONUNBUFFERED", "1")
    kind = lease.devices[0].kind
    if kind == "cpu":
        result["ACCELERATE_USE_CPU"] = "true"
    told = {DEVICE_VARIABLE: kind, PRECISION_VARIABLE: lease.precision}
    return {**result, **visible_devices(lease.devices), **told}
