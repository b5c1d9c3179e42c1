"""Contestant: this project's training program. ``python -m benchmarks.trainers.ours job.json``."""

import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.trainers.job import Job, read_job


def spec_of(job: Job) -> dict[str, Any]:
    """The training program's spec."""
    out = Path(job.out_dir)
    objective: dict[str, Any] = {"type": job.objective}
    if job.objective == "dpo":
        objective |= {"beta": job.beta}
    if job.objective == "grpo":
        objective |= {"num_generations": job.num_generations, "max_completion_length": job.max_completion_length}
    spec: dict[str, Any] = {
        "out_dir": out / "artifact",
        "scratch_dir": out / "scratch",
        "model_dir": job.model_dir,
        "train_file": job.rows_file,
        "objective": objective,
        "update": {"type": "lora", "r": job.rank, "alpha": job.alpha},
        "precision": "bf16" if job.bf16 else "fp32",
        "optimization": {
            "learning_rate": job.learning_rate,
            "max_steps": job.steps,
            "micro_batch_size": job.batch,
            "warmup_ratio": job.warmup_steps / max(job.steps, job.warmup_steps + 1),
            "checkpoint_steps": job.steps,
            "seed": job.seed,
        },
    }
    if job.objective == "grpo":
        spec["verifier"] = {"type": "reasoning_gym", "answer_marker": "####"}
    return spec


def main(job_file: str) -> None:
    """Train under the turns' callback."""
    job = read_job(job_file)
    from benchmarks.trainers.turns import sit_down

    sit_down(Path(job.table_dir), job.place, job.num_places, Path(job.out_dir))
    from kt_resources.compute.program import Progress
    from kt_resources.trainers.spec import TrainSpec
    from kt_resources.trainers.training import train

    spec = TrainSpec.model_validate(spec_of(job))
    spec.out_dir.mkdir(parents=True, exist_ok=True)
    train(spec, Progress(spec.out_dir))
    os.replace(spec.out_dir / "adapter", Path(job.out_dir) / "adapter")


if __name__ == "__main__":
    main(sys.argv[1])
