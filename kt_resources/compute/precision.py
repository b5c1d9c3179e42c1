"""Which floating-point format a device computes in: a choice before the lease, a look-up inside the program."""

import os
from functools import cache
from pathlib import Path

from kt_resources.compute.devices import Device, find_devices
from kt_resources.compute.needs import Needs, Precision
from kt_resources.errors import ComputeError

PRECISION_VARIABLE = "KT_PRECISION"
DEVICE_VARIABLE = "KT_DEVICE_KIND"


def best_precision(device: Device) -> Precision:
    """bf16 where the hardware has it (CUDA from 8.0, ROCm, some CPUs), fp16 on older CUDA, else fp32.

    Training in fp16 on MPS overflows without a gradient scaler, which MPS lacks: hence fp32 there. A CPU without
    AVX-512 emulates bf16, twenty times as slowly as it computes in fp32.
    """
    if device.kind == "cuda":
        return "bf16" if device.compute_capability >= (8, 0) else "fp16"
    if device.kind == "cpu":
        return "bf16" if cpu_computes_bf16() else "fp32"
    return "fp32" if device.kind == "mps" else "bf16"


@cache
def cpu_computes_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has what torch's bf16 kernels ask for: AVX-512 (x86) or the bf16 extension (Arm)."""
    try:
        words = set(cpuinfo.read_text().split())
    except OSError:
        return False
    return {"avx512bw", "avx512vl", "avx512dq"} <= words or "bf16" in words


def choose_precision(needs: Needs, device: Device) -> Precision:
    """The precision asked for, or the best one of the device where ``auto`` was asked.

    Raises:
        ComputeError: the device cannot train in what was asked.
    """
    best = best_precision(device)
    if needs.precision == "auto":
        return best
    refused = (device.kind == "cpu" and needs.precision == "fp16") or (
        device.kind == "cuda" and needs.precision == "bf16" and best == "fp16"
    )
    if refused:
        raise ComputeError(
            f"{device.id} ({device.name}) does not compute in {needs.precision}",
            where="needs.precision",
            mend=f"say precision: auto (here {best}), {best} or fp32",
        )
    return needs.precision


def program_precision() -> Precision:
    """Inside a program: the precision of its lease, or of the first device where it was started by hand."""
    told = os.environ.get(PRECISION_VARIABLE)
    if told in ("bf16", "fp16", "fp32"):
        return told  # type: ignore[return-value]
    return best_precision(find_devices()[0])


def program_device() -> str:
    """Inside a program: the torch device type of its lease, ``cuda`` (ROCm too), ``mps`` or ``cpu``."""
    kind = os.environ.get(DEVICE_VARIABLE) or find_devices()[0].kind
    return "cuda" if kind == "rocm" else kind
