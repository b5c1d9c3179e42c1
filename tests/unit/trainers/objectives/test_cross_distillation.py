"""Distillation across tokenizers: the distance is ULD's, at places where both models have read the same text."""

from pathlib import Path
from typing import Any

import pytest

from kt_resources.trainers import tiny
from kt_resources.trainers.objectives.cross_distillation import shared_places, sorted_distance
from kt_resources.trainers.spec import TrainSpec


@pytest.fixture(scope="module")
def other_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose tokenizer learned from other words: fewer tokens, other pieces."""
    folder = tmp_path_factory.mktemp("other") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "VOCABULARY_TEXT", "I am not sure of a sum.\nWhat item is it? It is the item.\n")
        tiny.make_tiny_model(folder, seed=5)
    return folder


@pytest.fixture
def distill(make_spec: Any, other_dir: Path) -> Any:
    def make(**objective: Any) -> TrainSpec:
        further = {"objective": {"type": "cross_distillation", **objective}, "companions": {"teacher": other_dir}}
        return TrainSpec.model_validate(make_spec("sft").model_dump() | further)

    return make


def test_the_distance_is_ulds() -> None:
    """Student (½, ½), teacher (¼, ¾, 0) sorted (¾, ¼, 0): |½ − ¾| + |½ − ¼| + 0 = ½, whichever token has which."""
    import torch

    student = torch.tensor([[0.5, 0.5]]).log()
    teacher = torch.tensor([[0.25, 0.75, 0.0]]).log()
    assert sorted_distance(student, teacher, 1.0).item() == pytest.approx(0.5, rel=1e-6)
    assert sorted_distance(teacher, teacher[:, [2, 0, 1]], 1.0).item() == 0.0


def test_places_are_where_both_have_read_the_same() -> None:
    """ "not sure" as no|t| sure and not| s|ure: both have read nothing, "not", and all of it."""
    assert shared_places([2, 3, 8], [3, 5, 8]) == [(0, 0), (2, 1), (3, 3)]


def test_the_trainer_s_loss_is_the_mix(distill: Any, build: Any, other_dir: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    trainer = build(distill(alpha=0.25))
    row, tokenizer = trainer.train_dataset[0], AutoTokenizer.from_pretrained(other_dir)
    assert len(tokenizer) != len(trainer.processing_class)
    for student_at, teacher_at in zip(row["student_at"], row["teacher_at"], strict=True):
        read = [
            trainer.processing_class.decode(row["input_ids"][: student_at + 1]),
            tokenizer.decode(row["teacher_ids"][: teacher_at + 1]),
        ]
        assert read[0] == read[1]
    assert len(row["student_at"]) >= 2
    ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])[1:]
    with torch.no_grad():
        student = trainer.model.eval()(input_ids=ids).logits[0]
        teacher = trainer.teacher(input_ids=torch.tensor([row["teacher_ids"]])).logits[0]
    answers = torch.nn.functional.cross_entropy(student[:-1][labels != -100], labels[labels != -100])
    distance = sorted_distance(student[row["student_at"]], teacher[row["teacher_at"]], 1.0) / len(row["student_at"])
    columns = ("input_ids", "labels", "teacher_ids", "student_at", "teacher_at")
    batch = trainer.data_collator([{name: row[name] for name in columns}])
    expected = 0.25 * answers + 0.75 * distance
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_learns(distill: Any, run: Any) -> None:
    facts = run(distill())["facts"]
    assert facts["start_eval_loss"] - facts["final_eval_loss"] > 0.1
