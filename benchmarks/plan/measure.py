"""Run one configuration through the training program's own code, and keep what it took."""

import json
import multiprocessing
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plan.configurations import Configuration
from benchmarks.plan.rows import write_rows
from kt_resources.compute.program import Progress, write_json
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
        "optimization": {"micro_batch_size": configuration.batch, "max_steps": configuration.steps, "num_evals": 1}
        | configuration.optimization,
        "precision": configuration.precision,
        "companions": dict.fromkeys(kind(**configuration.options).companions, model_dir),
        "sample_tokens": 4,
    }
    if kind.rows == "prompts":
        fields["verifier"] = {"type": "python", "path": f"{rows / 'rewards.py'}:score", "answer_marker": None}
    return TrainSpec.model_validate(fields)


def import_libraries() -> None:
    """What every child then has already: the same pages that a program of its own would have, without the time."""
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401
    import trl.experimental.cpo
    import trl.experimental.orpo  # noqa: F401

    from kt_resources.trainers import training  # noqa: F401


def run_configuration(configuration: Configuration, model_dir: Path, folder: Path) -> dict[str, Any]:
    """Train it in a forked process of its own; what it took, with how busy the machine was.

    Raises:
        RuntimeError: the training failed; the message has the end of its log.
    """
    load_before, started = os.getloadavg()[0], time.time()
    child = multiprocessing.get_context("fork").Process(target=_train, args=(configuration, model_dir, folder))
    child.start()
    child.join(TIMEOUT_S)
    if child.is_alive() or child.exitcode:
        child.kill()
        told = f"exit code {child.exitcode}" if child.exitcode else f"not done after {TIMEOUT_S} s"
        raise RuntimeError(f"{configuration.name}: {told}\n{(folder / 'log.txt').read_text()[-1500:]}")
    result = json.loads((folder / "result.json").read_text())
    return {
        "configuration": asdict(configuration),
        "result": {key: value for key, value in result.items() if key != "facts"},
        "load_before": load_before,
        "wall_s": time.time() - started,
        "cpu_s": result["cpu_s"],
    }


def _train(configuration: Configuration, model_dir: Path, folder: Path) -> None:
    """The child: rows, then the training program's own function, everything printed to ``log.txt``."""
    from kt_resources.trainers.training import train

    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    kind = OBJECTIVES[configuration.objective]
    write_rows(kind.rows, configuration.length, configuration.batch * configuration.steps, model_dir, folder / "rows")
    spec = spec_of(configuration, model_dir, folder)
    spec.out_dir.mkdir(parents=True)
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    result = train(spec, Progress(spec.out_dir))
    write_json(folder / "result.json", result | {"cpu_s": time.process_time()})
