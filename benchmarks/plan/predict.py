"""What the plan says of a measured configuration, from its rows and this device's calibration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.plan.configurations import Configuration
from benchmarks.plan.measure import spec_of
from kt_resources.compute.devices import cpu_device
from kt_resources.compute.memory.peak import predict
from kt_resources.compute.memory.shape import shape_of_folder
from kt_resources.compute.speed.calibration import Speed
from kt_resources.compute.speed.predict import predict_seconds, run_of
from kt_resources.trainers.lengths import counted_lengths
from kt_resources.trainers.memory import training_of


def compared(
    configuration: Configuration, result: Mapping[str, Any], model_dir: Path, folder: Path, speed: Speed
) -> dict[str, Any]:
    """Prediction and measurement of one configuration side by side; GB of 10^9 bytes, processor seconds."""
    spec = spec_of(configuration, model_dir, folder)
    shape = shape_of_folder(model_dir)
    lengths = counted_lengths(folder / "rows", model_dir / "tokenizer.json")
    device = cpu_device()
    training = training_of(shape, spec.objective, spec.update, spec.optimization, lengths, device, spec.precision)
    even = training.model_copy(update={"padded": configuration.objective not in ("sft", "distillation")})
    memory = predict(even)
    run = run_of(even, spec.optimization, lengths.num_rows or 0)
    seconds = predict_seconds(even, run, speed)
    return {
        "name": configuration.name,
        "role": configuration.role,
        "predicted_gb": memory.peak_gb,
        "actual_gb": result["peak_memory_gb"],
        "phase": memory.phase,
        "predicted_phases": memory.peaks_gb,
        "actual_phases": result["peaks_gb"],
        "predicted_s": seconds["train"] + seconds["evaluate"],
        "actual_s": result["cpu_seconds"]["train"],
    }
