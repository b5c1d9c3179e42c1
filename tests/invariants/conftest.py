"""Tiny rows, and runs of the training program in this process or in its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.compute.needs import Needs, accelerate_arguments
from kt_resources.compute.program import Progress
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny_rows import sums, write_pairs, write_prompts, write_tokenized

SCORER = "def score(completion, row):\n    return min(1.0, completion.count('e') / 4)\n"
ONLINE = ("grpo", "dapo")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two threads on a model this small only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def rows_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``<objective>/train.parquet`` (32 rows) and ``validation.parquet`` (8), and a scorer."""
    folder = tmp_path_factory.mktemp("rows")
    for split, rows in {"train": sums(32), "validation": sums(8, start=100)}.items():
        write_tokenized(rows, tiny_model_dir, folder / "sft" / f"{split}.parquet")
        write_pairs(rows, folder / "dpo" / f"{split}.parquet")
        for online in ONLINE:
            write_prompts(rows, folder / online / f"{split}.parquet")
    (folder / "rewards.py").write_text(SCORER)
    return folder


@pytest.fixture
def make_spec(tiny_model_dir: Path, rows_dir: Path, tmp_path: Path) -> Callable[..., TrainSpec]:
    """``make_spec(name, objective, update, optimization, **further)``: each name has its own folders."""

    def make(name: str, objective: str, update: dict[str, Any], optimization: dict[str, Any], **further: Any) -> Any:
        options = {"num_generations": 4, "max_completion_length": 6} if objective in ONLINE else {}
        fields: dict[str, Any] = {
            "out_dir": tmp_path / name / "out",
            "scratch_dir": tmp_path / name / "scratch",
            "model_dir": tiny_model_dir,
            "train_file": rows_dir / objective / "train.parquet",
            "validation_file": rows_dir / objective / "validation.parquet",
            "objective": {"type": objective, **options},
            "update": update,
            "optimization": {"micro_batch_size": 8, "learning_rate": 1e-2, **optimization},
            "precision": "fp32",
            "sample_tokens": 4,
        }
        if objective in ONLINE:
            fields["verifier"] = {"type": "python", "path": f"{rows_dir / 'rewards.py'}:score", "answer_marker": None}
        return TrainSpec.model_validate(fields | further)

    return make


@pytest.fixture
def run() -> Callable[[TrainSpec], dict[str, Any]]:
    """Train a spec in this process."""

    def run_spec(spec: TrainSpec) -> dict[str, Any]:
        from kt_resources.trainers.training import train

        spec.out_dir.mkdir(parents=True, exist_ok=True)
        return train(spec, Progress(spec.out_dir))

    return run_spec


@pytest.fixture
def launch() -> Callable[..., "subprocess.Popen[str]"]:
    """Start the program of a spec in its own process, or processes: ``launch(spec, processes=2)``."""

    def start(spec: TrainSpec, processes: int = 1) -> "subprocess.Popen[str]":
        file = spec.out_dir.parent / "spec.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(spec.model_dump_json())
        launcher = ["-m", "kt_resources.trainers"]
        if processes > 1:
            arguments = accelerate_arguments(Needs(devices=processes, kind="cpu"), "cpu", "fp32")
            launcher = ["-m", "accelerate.commands.launch", *arguments, "-m", "kt_resources.trainers"]
        command = [sys.executable, *launcher, "--spec", str(file)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | ENVIRONMENT
        )

    return start


@pytest.fixture
def weights() -> Callable[[TrainSpec], dict[str, Any]]:
    """The tensors of the saved model."""

    def load(spec: TrainSpec) -> dict[str, Any]:
        from safetensors.torch import load_file

        return load_file(spec.out_dir / "model" / "model.safetensors")

    return load


@pytest.fixture
def curve() -> Callable[[TrainSpec], list[dict[str, Any]]]:
    """The run's curve without its token counter, which counts from the last start."""

    def read(spec: TrainSpec) -> list[dict[str, Any]]:
        lines = (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if key != "tokens"} for line in lines]

    return read
