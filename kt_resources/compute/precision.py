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
    """bf16 where the hardware is faster in it (CUDA from 8.0, ROCm, some CPUs), fp16 on older CUDA, else fp32.

    Training in fp16 on MPS overflows without a gradient scaler, which MPS lacks: hence fp32 there.
    """
    if device.kind == "cuda":
        return "bf16" if device.compute_capability >= (8, 0) else "fp16"
    if device.kind == "cpu":
        return "bf16" if cpu_gains_from_bf16() else "fp32"
    return "fp32" if device.kind == "mps" else "bf16"


CPUINFO = Path("/proc/cpuinfo")


@cache
def cpu_gains_from_bf16(cpuinfo: Path = CPUINFO, tiles: bool = True) -> bool:
    """Whether this CPU multiplies matrices faster in bf16 than in fp32.

    AMD's AVX512-BF16 does (Zen 4), Intel's tiles (AMX) do: two cores of a Xeon of the fifth generation come to 2,000
    GFLOPS in bf16 and 320 in fp32. Its AVX512-BF16 alone does not: where the hypervisor hides the tiles, 167 and 307.
    Arm's extension should.

    Args:
        tiles: whether who multiplies uses them, as torch does and llama.cpp does not for weights in bf16.
    """
    words = _words(cpuinfo)
    if "GenuineIntel" in words:
        return tiles and "amx_bf16" in words
    return bool({"avx512_bf16", "bf16"} & words)


@cache
def cpu_computes_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether torch has kernels for bf16 on this CPU: with AVX-512 (x86) or the bf16 extension (Arm).

    Any other emulates it, twenty times as slowly as it computes in fp32.
    """
    words = _words(cpuinfo)
    return {"avx512bw", "avx512vl", "avx512dq"} <= words or "bf16" in words


def _words(cpuinfo: Path) -> set[str]:
    try:
        return set(cpuinfo.read_text().split())
    except OSError:
        return set()


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
