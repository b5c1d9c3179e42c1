"""Distillation: the loss is Hinton's formula, and learning closes in on the teacher."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import TrainingError
from kt_resources.trainers.objectives.distillation import distillation_terms
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny import make_tiny_model


@pytest.fixture(scope="module")
def teacher_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "model"
    make_tiny_model(folder, seed=7)
    return folder


@pytest.fixture
def distill(make_spec: Callable[..., TrainSpec], teacher_dir: Path) -> Callable[..., TrainSpec]:
    def make(teacher: Path = teacher_dir, **objective: Any) -> TrainSpec:
        fields = make_spec("sft").model_dump()
        further = {"objective": {"type": "distillation", **objective}, "companions": {"teacher": teacher}}
        return TrainSpec.model_validate(fields | further)

    return make


def test_the_terms_are_the_formula() -> None:
    """Student logits (0, 2 ln 3), teacher (0, 0), T = 2, label 1.

    CE = −ln(9/10). At T = 2 the student is (1/4, 3/4), the teacher (1/2, 1/2): KL = ½ ln 2 + ½ ln ⅔ = ½ ln(4/3),
    times T² = 4 gives 2 ln(4/3).
    """
    import torch

    student, teacher = torch.tensor([[0.0, 2 * math.log(3)]]), torch.zeros(1, 2)
    answers, divergence = distillation_terms(student, teacher, torch.tensor([1]), temperature=2.0)
    assert answers.item() == pytest.approx(-math.log(0.9), rel=1e-5)
    assert divergence.item() == pytest.approx(2 * math.log(4 / 3), rel=1e-5)


def test_logits_padded_to_other_widths_are_compared_where_both_have_them() -> None:
    """The same as without the teacher's third logit; the answers' cross-entropy is over all of the student's."""
    import torch

    student, label = torch.tensor([[0.0, 2 * math.log(3)]]), torch.tensor([1])
    narrow, wide = torch.zeros(1, 2), torch.tensor([[0.0, 0.0, 5.0]])
    assert distillation_terms(student, wide, label, 2.0) == distillation_terms(student, narrow, label, 2.0)
    answers, divergence = distillation_terms(wide, narrow, label, 2.0)
    assert answers.item() == pytest.approx(math.log(2 + math.exp(5)), rel=1e-5) and divergence.item() == 0


def test_the_trainer_s_loss_is_the_mix_over_trained_positions(distill: Any, build: Callable[..., Any]) -> None:
    import torch

    trainer = build(distill(alpha=0.25, temperature=3.0))
    row = trainer.train_dataset[0]
    ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])[1:]
    with torch.no_grad():
        student, teacher = (model(input_ids=ids).logits[0, :-1] for model in (trainer.model.eval(), trainer.teacher))
    losses = []
    for position in range(len(labels)):
        if labels[position] == -100:
            continue
        log_q, log_p = ((logits[position] / 3).log_softmax(-1) for logits in (student, teacher))
        divergence = (log_p.exp() * (log_p - log_q)).sum()
        losses.append(-0.25 * student[position].log_softmax(-1)[labels[position]] + 0.75 * 9 * divergence)
    batch = trainer.data_collator([{name: row[name] for name in ("input_ids", "labels")}])
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(
        torch.stack(losses).mean().item(), rel=1e-5
    )


def test_it_learns_the_teacher(distill: Any, run: Any) -> None:
    result = run(distill(alpha=0.0))
    assert result["facts"]["final_eval_loss"] < 0.97 * result["facts"]["start_eval_loss"]
    assert result["tokens"] > 0


def test_the_model_as_its_own_teacher_has_nothing_to_learn(distill: Any, run: Any, tiny_model_dir: Path) -> None:
    assert run(distill(teacher=tiny_model_dir, alpha=0.0))["facts"]["start_eval_loss"] == pytest.approx(0, abs=1e-6)


def test_a_teacher_of_another_vocabulary_is_refused(
    distill: Any, build: Any, teacher_dir: Path, tmp_path: Path
) -> None:
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(teacher_dir, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[5:7]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(TrainingError, match="vocabulary is not the student's"):
        build(distill(teacher=other))
