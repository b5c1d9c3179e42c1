"""The fake obeys the trainer's contract: the real program's files and facts, without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from kt_resources.compute.needs import Needs
from kt_resources.errors import TrainingError
from kt_resources.trainers import Trainer, TrainSpec
from kt_resources.trainers.facts import Facts
from kt_resources.trainers.fake import FakeTrainer


def test_it_is_a_trainer() -> None:
    assert isinstance(FakeTrainer(), Trainer)


@pytest.mark.parametrize(("objective", "update"), [("sft", "lora"), ("grpo", "full")])
def test_it_writes_what_the_program_writes(
    make_spec: Callable[..., TrainSpec], run: Any, objective: str, update: str
) -> None:
    spec = make_spec(objective, update)
    out_dir = spec.out_dir.parent / "fake"
    real, fake = run(spec), FakeTrainer().train(spec.model_copy(update={"out_dir": out_dir}), Needs())
    folders = [
        {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {"run/progress.jsonl"}
        for folder in (spec.out_dir, out_dir)
    ]
    assert folders[0] | {"run/result.json"} == folders[1]
    assert real.keys() == fake.keys()
    assert real["facts"].keys() == fake["facts"].keys() == Facts.model_fields.keys()
    assert real["seconds"].keys() == fake["seconds"].keys()


def test_it_says_what_it_is_told_to(make_spec: Callable[..., TrainSpec]) -> None:
    spec = make_spec()
    FakeTrainer(facts={"stops_rate": 0.0}).train(spec, Needs())
    assert json.loads((spec.out_dir / "facts.json").read_text())["stops_rate"] == 0.0
    with pytest.raises(TrainingError, match="out of memory"):
        FakeTrainer(error=TrainingError("out of memory")).train(spec, Needs())


def test_other_rows_make_other_weights(make_spec: Callable[..., TrainSpec]) -> None:
    weights = []
    for objective in ("sft", "dpo"):
        spec = make_spec(objective)
        FakeTrainer().train(spec, Needs())
        weights.append((spec.out_dir / "model" / "model.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_it_imports_no_torch() -> None:
    code = "import sys, kt_resources.trainers.fake; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
