"""Distillation across tokenizers: α·CE + (1 − α)·W, W the distance of the two sorted distributions over the next token.

Boizard et al. 2024 (arXiv:2402.12030, ULD, eq. 5): W = Σᵢ |p₍ᵢ₎ − q₍ᵢ₎| with the probabilities of teacher and student
sorted from the largest down, the shorter padded with zeros: the Wasserstein distance where any two tokens are equally
far apart. The paper pairs the models' positions one by one; here they are paired where both have read the same text.

TRL's experimental GOLD has this distance inside a trainer that also draws answers, with a buffer and a data loader of
its own, and joins the distributions of tokens that have no counterpart; here such places are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.errors import TrainingError
from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows
from kt_resources.trainers.objectives.sft import Sft

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from kt_resources.trainers.objectives.two_terms import Terms


class CrossDistillation(ObjectiveConfig):
    """Learn from a teacher that reads and writes other tokens.

    Attributes:
        teacher: ``base_model``, an earlier step, or a name of the recipe's ``teachers``.
        alpha: weight of the answers' cross-entropy; the distance to the teacher has the rest.
        temperature: of both distributions.
    """

    type: Literal["cross_distillation"] = "cross_distillation"
    rows: ClassVar[Rows] = "tokenized"
    full_learning_rate: ClassVar[float] = 2e-5
    adapter_learning_rate: ClassVar[float] = 2e-4

    teacher: str = Field(default="base_model", pattern=r"^[a-z][a-z0-9_]*$")
    alpha: float = Field(default=0.5, ge=0, lt=1)
    temperature: float = Field(default=1.0, gt=0)

    @property
    def companions(self) -> dict[str, str]:
        return {"teacher": self.teacher}

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """The rows of supervised fine-tuning, with their prompts and answers as text for the teacher to read."""
        from kt_resources.trainers.data import read_rows

        texts = {row["id"]: row for row in read_rows(file, ("id", "prompt", "completion"))}
        rows = Sft().load(file, tokenizer, max_seq_len)
        return rows.map(lambda row: {name: texts[row["id"]][name] for name in ("prompt", "completion")})

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's SFTTrainer with this loss, each row read by the teacher in tokens of its own."""
        from transformers import AutoTokenizer
        from trl import SFTConfig

        from kt_resources.trainers.kinds import load_model

        folder = ingredients.companions["teacher"]
        reader = Reader(ingredients.tokenizer, AutoTokenizer.from_pretrained(folder))
        teacher = load_model(folder, dtype=ingredients.model.dtype).eval().requires_grad_(False)
        arguments = SFTConfig(**ingredients.arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
        validation = ingredients.validation
        return _trainer_class()(
            model=ingredients.model,
            args=arguments,
            train_dataset=ingredients.train.map(reader.read),
            eval_dataset=validation.map(reader.read) if validation is not None else None,
            data_collator=_collator_class()(
                pad_token_id=reader.pad(ingredients.tokenizer), teacher_pad=reader.pad(reader.teacher)
            ),
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            teacher=teacher,
            config=self,
            **ingredients.loop,
        )


class Reader:
    """Reads a row with both tokenizers."""

    def __init__(self, student: "PreTrainedTokenizerBase", teacher: "PreTrainedTokenizerBase") -> None:
        self.student, self.teacher = student, teacher

    @staticmethod
    def pad(tokenizer: "PreTrainedTokenizerBase") -> int:
        return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def read(self, row: dict[str, Any]) -> dict[str, Any]:
        """``teacher_ids``, and ``student_at`` and ``teacher_at``: places whose next token both models predict alike.

        A place is where both have read the same part of the answer; its first place is the end of the prompt.

        Raises:
            TrainingError: the row's trained tokens are not those of its answer.
        """
        from kt_resources.trainers.answers import prompt_ids

        ids, ends = self._answer(self.student, row["completion"])
        begin = next(at for at, label in enumerate(row["labels"]) if label != -100)
        if row["input_ids"][begin : begin + len(ids)] != ids:
            mend = "the student's template changes the answer's text; distil from a teacher of the same tokenizer"
            raise TrainingError("the trained tokens are not those of the answer", where=f"row {row['id']}", mend=mend)
        asked = prompt_ids(self.teacher, row["prompt"])
        taught, teacher_ends = self._answer(self.teacher, row["completion"])
        pairs = shared_places(ends, teacher_ends)
        return {
            "teacher_ids": asked + taught,
            "student_at": [begin - 1 + place for place, _ in pairs],
            "teacher_at": [len(asked) - 1 + place for _, place in pairs],
        }

    @staticmethod
    def _answer(tokenizer: "PreTrainedTokenizerBase", text: str) -> tuple[list[int], list[int]]:
        """Token ids of ``text``, and how many characters have been read after each."""
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(read["input_ids"]), [end for _, end in read["offset_mapping"]]


def shared_places(student_ends: Sequence[int], teacher_ends: Sequence[int]) -> list[tuple[int, int]]:
    """``(tokens the student has read, tokens the teacher has read)`` wherever both have read the same characters.

    >>> shared_places([2, 3, 5], [1, 3, 5])
    [(0, 0), (2, 2), (3, 3)]
    """
    student = {0: 0} | {end: count for count, end in enumerate(student_ends, start=1)}
    teacher = {0: 0} | {end: count for count, end in enumerate(teacher_ends, start=1)}
    return [(student[end], teacher[end]) for end in sorted(student.keys() & teacher.keys())]


def sorted_distance(student: "torch.Tensor", teacher: "torch.Tensor", temperature: float) -> "torch.Tensor":
    """Σ over places of W.

    Args:
        student, teacher: logits, (places, vocabulary), each of its own vocabulary.
    """
    from torch.nn.functional import pad

    width = max(student.size(-1), teacher.size(-1))
    sorted_ = [
        pad(
            (logits.float() / temperature).softmax(-1).sort(dim=-1, descending=True).values,
            (0, width - logits.size(-1)),
        )
        for logits in (student, teacher)
    ]
    return (sorted_[0] - sorted_[1]).abs().sum()


def _collator_class() -> type:
    from dataclasses import dataclass

    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
    from trl.trainer.utils import pad

    @dataclass
    class TwoReadings(DataCollatorForLanguageModeling):
        """The student's batch, the teacher's beside it; the places stay lists."""

        teacher_pad: int = 0

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            batch = super().torch_call(examples)
            ids = [torch.tensor(row["teacher_ids"]) for row in examples]
            batch["teacher_ids"] = pad(ids, padding_value=self.teacher_pad, padding_side="right")
            batch["teacher_mask"] = pad([torch.ones_like(row) for row in ids], padding_value=0, padding_side="right")
            for name in ("student_at", "teacher_at"):
                places = [torch.tensor(row[name]) for row in examples]
                batch[name] = pad(places, padding_value=-1, padding_side="right")
            return batch

    return TwoReadings


def _trainer_class() -> type:
    import torch

    from kt_resources.trainers.objectives.two_terms import two_term_class

    class CrossDistiller(two_term_class()):  # type: ignore[misc]
        """The SFT trainer of the factory, taught in other tokens; the distance is a mean over places, times tokens."""

        _signature_columns: Any

        def __init__(self, *args: Any, teacher: "PreTrainedModel", config: CrossDistillation, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.teacher, self.temperature = teacher.to(self.accelerator.device), config.temperature
            self.weights = (config.alpha, 1 - config.alpha)

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            self._signature_columns = list(
                dict.fromkeys([*self._signature_columns, "teacher_ids", "student_at", "teacher_at"])
            )

        def terms(self, model: Any, inputs: dict[str, Any]) -> "Terms":
            from torch.nn.functional import cross_entropy

            labels = inputs["labels"][:, 1:]
            trained, asked = labels != -100, {k: inputs[k] for k in ("input_ids", "attention_mask")}
            logits = model(**asked).logits[:, -inputs["labels"].size(1) :]
            with torch.no_grad():
                taught = self.teacher(input_ids=inputs["teacher_ids"], attention_mask=inputs["teacher_mask"]).logits
            rows, columns = (inputs["student_at"] >= 0).nonzero(as_tuple=True)
            places = [inputs[name][rows, columns] for name in ("student_at", "teacher_at")]
            distance = sorted_distance(logits[rows, places[0]], taught[rows, places[1]], self.temperature)
            answers = cross_entropy(logits[:, :-1][trained].float(), labels[trained], reduction="sum")
            return answers, distance / max(1, len(rows)) * trained.sum(), trained.sum()

    return CrossDistiller
