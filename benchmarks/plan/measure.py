"""Run one configuration through the training program's own code, and keep what it took."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plan.configurations import STEPS, Configuration
from benchmarks.plan.rows import write_rows
from kt_resources.compute.environment import RUNTIME
from kt_resources.compute.program import write_json
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import TrainSpec

TIMEOUT_S = 1500


def spec_of(configuration: Configuration, model_dir: Path, folder: Path) -> TrainSpec:
    """The training program's spec; rows lie under ``folder/rows``."""
    kind = OBJECTIVES[configuration.objective]
    rows = folder / "rows"
    fields: dict[str, Any] = {
        "out_dir": folder / "out",
        "scratch_dir": folder / "scratch",
        "name": configuration.name,
        "model_dir": model_dir,
        "train_file": rows / "train.parquet",
        "validation_file": rows / "validation.parquet",
        "objective": {"type": configuration.objective, **configuration.options},
        "update": {"type": configuration.update, **configuration.further},
        "optimization": {"micro_batch_size": configuration.batch, "max_steps": STEPS, "num_evals": 1}
        | configuration.optimization,
        "precision": configuration.precision,
        "companions": dict.fromkeys(kind(**configuration.options).companions, model_dir),
        "sample_tokens": 4,
    }
    if kind.rows == "prompts":
        fields["verifier"] = {"type": "python", "path": f"{rows / 'rewards.py'}:score", "answer_marker": None}
    return TrainSpec.model_validate(fields)


def run_configuration(configuration: Configuration, model_dir: Path, folder: Path) -> dict[str, Any]:
    """Train it in the training program, as a line does; what it took, with how busy the machine was.

    Raises:
        RuntimeError: the training failed; the message has the end of its log.
    """
    kind = OBJECTIVES[configuration.objective]
    write_rows(kind.rows, configuration.length, configuration.batch * STEPS, model_dir, folder / "rows")
    file = folder / "spec.json"
    spec = spec_of(configuration, model_dir, folder)
    write_json(file, spec.model_dump(mode="json"))
    load_before, started = os.getloadavg()[0], time.time()
    command = [sys.executable, "-m", "kt_resources.trainers", "--spec", str(file)]
    try:
        with (folder / "log.txt").open("w") as log:
            ended = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, env=RUNTIME | os.environ, timeout=TIMEOUT_S
            ).returncode
        told = f"exit code {ended}"
    except subprocess.TimeoutExpired:
        ended, told = 1, f"not done after {TIMEOUT_S} s"
    if ended:
        raise RuntimeError(f"{configuration.name}: {told}\n{(folder / 'log.txt').read_text()[-1500:]}")
    result = json.loads((spec.out_dir / "run" / "result.json").read_text())
    return {
        "configuration": asdict(configuration),
        "result": {key: value for key, value in result.items() if key != "facts"},
        "load_before": load_before,
        "wall_s": time.time() - started,
    }
