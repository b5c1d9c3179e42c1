"""The fields of transformers' ``TrainingArguments`` that every objective shares."""

import math
import os
from pathlib import Path
from typing import Any

from kt_resources.trainers.spec import TrainSpec

LOGGED_STEPS = 200
"""About so many points a curve has at most; a shorter run has every step."""


def common_arguments(spec: TrainSpec, num_rows: int) -> dict[str, Any]:
    """Arguments for any TRL trainer of ``spec``.

    Evaluations and checkpoints are paced by a callback, hence ``"no"`` here. Weights are loaded in the type they
    are computed in, so that no autocast is needed; only fp16 takes it, for its loss scaling.
    """
    optimization = spec.optimization
    return {
        "output_dir": str(checkpoint_dir(spec)),
        "learning_rate": spec.learning_rate,
        "num_train_epochs": optimization.num_epochs,
        "max_steps": optimization.max_steps or -1,
        "per_device_train_batch_size": optimization.micro_batch_size,
        "per_device_eval_batch_size": optimization.micro_batch_size,
        "gradient_accumulation_steps": optimization.gradient_accumulation_steps,
        "warmup_steps": optimization.warmup_ratio,
        "lr_scheduler_type": optimization.lr_scheduler,
        "weight_decay": optimization.weight_decay,
        "max_grad_norm": optimization.max_grad_norm,
        "gradient_checkpointing": optimization.gradient_checkpointing,
        "logging_steps": max(1, total_steps(spec, num_rows) // LOGGED_STEPS),
        "bf16": False,
        "fp16": spec.precision == "fp16",
        "seed": optimization.seed,
        "data_seed": optimization.seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "average_tokens_across_devices": True,
        "logging_nan_inf_filter": False,
        **spec.update.training_arguments(),
    }


def total_steps(spec: TrainSpec, num_rows: int) -> int:
    """Optimizer steps of the whole run."""
    optimization = spec.optimization
    if optimization.max_steps:
        return optimization.max_steps
    rows_per_pass = optimization.micro_batch_size * int(os.environ.get("WORLD_SIZE", "1"))
    passes = optimization.gradient_accumulation_steps
    return math.ceil(spec.objective.steps_per_epoch(num_rows, rows_per_pass, passes) * optimization.num_epochs)


def checkpoint_dir(spec: TrainSpec) -> Path:
    """Where checkpoints stand; they survive a crash."""
    return spec.scratch_dir / "checkpoints"
