"""Seconds of a training, phase by phase, from its work and a device's rates."""

import math
from typing import Any

from kt_resources.compute.memory.parts import Rollouts
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.memory.training import Training
from kt_resources.compute.speed.calibration import Speed
from kt_resources.compute.speed.flops import Run, Work, checkpoint_bytes, loading, run_work
from kt_resources.trainers.spec import Optimization, eval_pace, num_checkpoints
from kt_resources.trainers.steps import online_steps_per_epoch, steps_per_epoch


def seconds_of(work: Work, speed: Speed, layers: int) -> float:
    """Seconds of ``work`` at the rates of ``speed``."""
    learning = work.block / speed.block_flops + work.weights / speed.weights_flops + work.head / speed.head_flops
    adapters = work.adapted / speed.adapted_per_s + work.normed / speed.normed_per_s
    other = work.dequantized / speed.dequantized_per_s + work.stepped / speed.stepped_per_s
    bytes_moved = work.touched / speed.touched_per_s + work.written / speed.written_per_s
    decoding = layers * (work.decoded * speed.decode_layer_s + work.decoded_adapted * speed.decode_adapter_s)
    return learning + adapters + other + bytes_moved + decoding + work.decomposed / speed.decomposed_flops


def run_of(training: Training, optimization: Optimization, num_rows: int, processes: int = 1) -> Run:
    """How many rows, steps and passes ``optimization`` asks of ``num_rows`` rows; as transformers counts them."""
    if training.objective.rollouts:
        return _online_run(training.objective.rollouts, optimization, num_rows, processes)
    accumulated = optimization.gradient_accumulation_steps
    batches = math.ceil(num_rows / (optimization.micro_batch_size * processes))
    each_epoch = steps_per_epoch(num_rows, optimization.micro_batch_size * processes, accumulated)
    steps = optimization.max_steps or math.ceil(each_epoch * optimization.num_epochs)
    passes = steps * min(accumulated, batches)
    rows = min(steps * optimization.micro_batch_size * accumulated, steps * num_rows)
    if not optimization.max_steps:
        rows = min(rows, math.ceil(num_rows / processes * optimization.num_epochs))
    return Run(rows=rows, steps=steps, passes=passes, **_judged_and_saved(optimization, steps))


def _online_run(rollouts: Rollouts, optimization: Optimization, num_rows: int, processes: int) -> Run:
    """An epoch of an online objective asks every prompt once, for a group of completions."""
    size = optimization.micro_batch_size * optimization.gradient_accumulation_steps * processes
    each_epoch = online_steps_per_epoch(num_rows, size, rollouts.group, rollouts.iterations)
    steps = optimization.max_steps or math.ceil(each_epoch * optimization.num_epochs)
    passes = steps * optimization.gradient_accumulation_steps
    rows = passes * optimization.micro_batch_size
    return Run(rows=rows, steps=steps, passes=passes, **_judged_and_saved(optimization, steps))


def _judged_and_saved(optimization: Optimization, steps: int) -> dict[str, Any]:
    """The start model is judged too."""
    asked = optimization.checkpoint_steps
    return {
        "evaluations": 1 + math.ceil(steps / eval_pace(optimization, steps)),
        "checkpoints": math.ceil(steps / asked) if asked else None,
    }


def predict_seconds(training: Training, run: Run, speed: Speed) -> dict[str, float]:
    """Seconds by phase, of one process."""
    layers = training.shape.layers
    work = run_work(training, run)
    model_bytes = training.shape.parameters * training.shape.stored_bytes
    train_s, evaluate_s = (seconds_of(work[phase], speed, layers) for phase in ("train", "evaluate"))
    if run.checkpoints is None:
        write_s = checkpoint_bytes(training) / speed.written_per_s
        before = num_checkpoints(train_s - write_s + evaluate_s, write_s) - 1  # the work has the last one
        train_s += write_s * before
    return {
        "imports": speed.imports_s,
        "load": model_bytes / speed.bytes_per_s + seconds_of(loading(training), speed, layers),
        "train": train_s,
        "evaluate": evaluate_s,
        "save": 2 * model_bytes / speed.bytes_per_s,
        "measure": 4 * model_bytes / speed.bytes_per_s,
    }


def answer_seconds(models: int, read: float, written: float, shape: ModelShape, speed: Speed) -> dict[str, float]:
    """Seconds by phase of a generator that opens ``models`` in turn.

    The output head, which every written token passes, works at the rate of the blocks.

    Args:
        read, written: tokens of prompts and of answers, over all models.
    """
    head = shape.hidden * shape.vocab / (shape.linear_parameters / shape.layers)
    return {
        "imports": speed.imports_s,
        "load": models * shape.parameters * shape.stored_bytes / speed.bytes_per_s,
        "read": read * shape.layers * speed.read_layer_s,
        "write": written * ((shape.layers + head) * speed.answer_layer_s + speed.answer_s),
    }
