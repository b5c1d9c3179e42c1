"""Tiny rows of each kind, and a way to train on them in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.compute.program import Progress
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny_rows import sums, write_labels, write_pairs, write_prompts, write_tokenized

SCORER = "def score(completion, row):\n    return min(1.0, completion.count('e') / 4)\n"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two threads on a model this small only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def rows_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``<rows>/train.parquet`` (24 rows) and ``validation.parquet`` (8), and a scorer of a person's own."""
    folder = tmp_path_factory.mktemp("rows")
    for split, rows in {"train": sums(24), "validation": sums(8, start=100)}.items():
        write_tokenized(rows, tiny_model_dir, folder / "tokenized" / f"{split}.parquet")
        write_pairs(rows, folder / "preference_pairs" / f"{split}.parquet")
        write_labels(rows, folder / "labels" / f"{split}.parquet")
        write_prompts(rows, folder / "prompts" / f"{split}.parquet")
    (folder / "rewards.py").write_text(SCORER)
    return folder


@pytest.fixture
def make_spec(tiny_model_dir: Path, rows_dir: Path, tmp_path: Path) -> Callable[..., TrainSpec]:
    """``make_spec(objective, update, **further)``: three steps of eight rows in float32."""

    def make(objective: str = "sft", update: str = "lora", **further: Any) -> TrainSpec:
        online = OBJECTIVES[objective].rows == "prompts"
        options = {"num_generations": 4, "max_completion_length": 6} if online else {}
        fields: dict[str, Any] = {
            "out_dir": tmp_path / "out",
            "scratch_dir": tmp_path / "scratch",
            "model_dir": tiny_model_dir,
            "train_file": rows_dir / OBJECTIVES[objective].rows / "train.parquet",
            "validation_file": rows_dir / OBJECTIVES[objective].rows / "validation.parquet",
            "objective": {"type": objective, **options},
            "update": {"type": update},
            "optimization": {"micro_batch_size": 8, "max_steps": 3, "learning_rate": 1e-2},
            "precision": "fp32",
            "sample_tokens": 6,
        }
        if online:
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
