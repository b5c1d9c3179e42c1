"""How fast a device does each kind of work: measured once in a few seconds and kept in the store, or stated."""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from kt_resources.compute.catalog import CatalogDevice
from kt_resources.compute.devices import Device
from kt_resources.compute.environment import QUIET, RUNTIME
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.needs import Precision
from kt_resources.errors import ComputeError
from kt_resources.store.store import write_atomically
from kt_resources.strict import Strict

TIMEOUT_S = 300

MFU = 0.35
"""Share of a GPU's peak that training reaches, stated, not measured: 0.3 to 0.45 is usual for dense models of 7B and
more on one A100 in bf16 with a flash kernel; small models and short rows reach less."""

MEMORY_SHARE = 0.6
"""Share of a GPU's bandwidth that token-by-token generation reaches; stated likewise."""


DECOMPOSED_FLOPS = {"cpu": 6e10, "gpu": 7e11}
"""Operations a second of singular value decompositions, in float32 whatever is trained in. On a CPU timed once, on one
core of a Xeon of the fifth generation: 5e10 of 576 × 1536, 1e11 of 576 × 576; on a GPU stated, not measured here."""


class Speed(Strict):
    """Rates of one device for a model of one width in one precision.

    Attributes:
        block_flops, weights_flops, head_flops: operations a second of the kinds of :class:`Work`.
        adapted_per_s, normed_per_s: numbers a second that adapters read and write, and weights that DoRA measures.
        dequantized_per_s: weights a second made whole from 4 bits.
        stepped_per_s: parameters a second that AdamW moves, gradients clipped, float32 copies kept where it has them.
        touched_per_s, written_per_s: bytes a second of memory asked for anew, and of checkpoints.
        decode_layer_s, decode_adapter_s: seconds of one block in a step of generation, and of its adapters beside.
        read_layer_s, answer_layer_s: of one block for a token that a generator reads, and for one that it writes,
            many answers at once; ``answer_s`` of what it does for a token beside blocks and head.
        imports_s: starting the program.
        decomposed_flops: operations a second of singular value decompositions; stated.
        bytes_per_s: of loading, saving and measuring a model's files.
        source: how these figures came about.
    """

    block_flops: float
    weights_flops: float
    head_flops: float
    adapted_per_s: float
    normed_per_s: float
    dequantized_per_s: float
    stepped_per_s: float
    touched_per_s: float
    written_per_s: float
    decode_layer_s: float
    decode_adapter_s: float
    read_layer_s: float
    answer_layer_s: float
    answer_s: float
    imports_s: float
    bytes_per_s: float
    decomposed_flops: float = DECOMPOSED_FLOPS["cpu"]
    source: str


def stated_speed(device: CatalogDevice, shape: ModelShape, precision: Precision) -> Speed:
    """Rates of a named GPU: its data sheet times :data:`MFU`, and its bandwidth for what is bound by memory."""
    flops = device.tflops * 1e12 * MFU
    bandwidth = device.bandwidth_gbs * 1e9 * MEMORY_SHARE
    layer_bytes = shape.linear_parameters / shape.layers * (4 if precision == "fp32" else 2)
    decode_layer_s = layer_bytes / bandwidth + 5e-5
    return Speed(
        block_flops=flops,
        weights_flops=flops,
        head_flops=flops,
        adapted_per_s=bandwidth / 4,
        normed_per_s=bandwidth / 16,
        dequantized_per_s=bandwidth / 2.5,
        stepped_per_s=bandwidth / 28,
        touched_per_s=bandwidth,
        written_per_s=1e9,
        decode_layer_s=decode_layer_s,
        decode_adapter_s=1.5e-4,
        imports_s=15.0,
        bytes_per_s=1e9,
        decomposed_flops=DECOMPOSED_FLOPS["gpu"],
        **answering_of(shape, flops, decode_layer_s),
        source=f"{device.tflops:g} TFLOPS × MFU {MFU:g} ({device.source})",
    )


ANSWERS_AT_ONCE = 32
"""Answers that a GPU writes at once; each step of theirs is bound by memory, and takes as long as one's."""


def answering_of(shape: ModelShape, block_flops: float, decode_layer_s: float) -> dict[str, float]:
    """The rates of a generator that computes as training does, from those of its blocks."""
    read_s = 2.0 * shape.linear_parameters / shape.layers / block_flops
    answer_s = max(read_s, decode_layer_s / ANSWERS_AT_ONCE)
    return {"read_layer_s": read_s, "answer_layer_s": answer_s, "answer_s": 0.0}


TOLD = ("model name", "cpu family", "model\t", "flags", "Features")
"""Lines of /proc/cpuinfo: processors of one name may differ in what they compute, which their flags tell."""


def host_id() -> str:
    """This machine's kind as a short hash: processor, cores, system; no name or address."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        lines = [line for line in first if line.startswith(TOLD)]
        processor = " ".join(lines) or processor
    machine = f"{processor} {os.cpu_count()} {platform.system()} {platform.machine()}"
    return hashlib.sha256(machine.encode()).hexdigest()[:12]


WAY = 3
"""Raise it when what is timed works otherwise than it did: kept calibrations are made anew."""


def speed_file(store_root: Path, device: Device, shape: ModelShape, precision: Precision) -> Path:
    """Where the calibration of ``device`` for a model of this width is kept."""
    name = f"{device.kind}-{shape.hidden}x{shape.intermediate}-{precision}-{WAY}.json"
    return store_root / "calibration" / host_id() / name


def calibrated_speed(
    store_root: Path, device: Device, shape: ModelShape, precision: Precision, anew: bool = False
) -> Speed:
    """The rates of a device at hand: as they are kept, or measured now in a program of its own, and kept.

    Raises:
        ComputeError: the measurement failed.
    """
    file = speed_file(store_root, device, shape, precision)
    if file.is_file() and not anew:
        try:
            return Speed.model_validate_json(file.read_text())
        except ValidationError:
            pass  # of another version: measured again
    speed = measure_speed(device, shape, precision)
    write_atomically(file, speed.model_dump_json(indent=2))
    return speed


def measure_speed(device: Device, shape: ModelShape, precision: Precision) -> Speed:
    """Run ``python -m kt_resources.compute.speed`` and read what it prints."""
    asked = {"shape": shape.model_dump(mode="json"), "precision": precision, "kind": device.kind}
    command = [sys.executable, "-m", "kt_resources.compute.speed"]
    environment = {**QUIET, **RUNTIME, "HF_HUB_OFFLINE": "1", **os.environ}
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired as error:
        what = f"the calibration was not done after {TIMEOUT_S} s"
        raise ComputeError(what, where=device.id, mend="run kt plan --calibrate on a less busy machine") from error
    if done.returncode:
        tail = "\n    ".join(done.stderr.strip().splitlines()[-5:])
        raise ComputeError(f"the calibration failed: {tail}", where=device.id, mend="name a device with --device")
    return Speed.model_validate_json(done.stdout.strip().splitlines()[-1])
