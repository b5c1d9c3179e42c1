"""Distillation: α·CE + (1 − α)·T²·KL(teacher ‖ student), both at temperature T in the KL (arXiv:1503.02531, §2)."""

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


class Distillation(ObjectiveConfig):
    """Learn a teacher's distribution over the next token, beside the answers themselves.

    TRL's trainers have the divergence alone, without cross-entropy and T², hence the loss of our own.

    Attributes:
        teacher: ``base_model``, an earlier step, or a name of the recipe's ``teachers``; of the student's vocabulary.
        alpha: weight of the answers' cross-entropy; the teacher has the rest.
        temperature: T, softens both distributions; T² keeps the gradient's size.
    """

    type: Literal["distillation"] = "distillation"
    rows: ClassVar[Rows] = "tokenized"
    full_learning_rate: ClassVar[float] = 2e-5
    adapter_learning_rate: ClassVar[float] = 2e-4

    teacher: str = Field(default="base_model", pattern=r"^[a-z][a-z0-9_]*$")
    alpha: float = Field(default=0.5, ge=0, lt=1)
    temperature: float = Field(default=2.0, gt=0)

    @property
    def companions(self) -> dict[str, str]:
        return {"teacher": self.teacher}

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """The rows of supervised fine-tuning."""
        return Sft().load(file, tokenizer, max_seq_len)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's SFTTrainer with this loss."""
        from trl import SFTConfig

        arguments = SFTConfig(**ingredients.arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
        return _trainer_class()(
            model=ingredients.model,
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            teacher=load_teacher(ingredients.companions["teacher"], ingredients),
            config=self,
            **ingredients.loop,
        )


def load_teacher(folder: Path, ingredients: Ingredients) -> "PreTrainedModel":
    """The teacher in the student's type.

    Raises:
        TrainingError: the teacher reads and writes other tokens than the student.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if AutoTokenizer.from_pretrained(folder).get_vocab() != ingredients.tokenizer.get_vocab():
        raise TrainingError(
            "the teacher's vocabulary is not the student's: their distributions cannot be compared",
            where=f"objective.teacher ({folder})",
            mend="take a teacher of the same tokenizer, or train on a teacher's answers",
        )
    teacher = AutoModelForCausalLM.from_pretrained(folder, dtype=ingredients.model.dtype)
    return teacher.eval().requires_grad_(False)


def distillation_terms(
    student: "torch.Tensor", teacher: "torch.Tensor", labels: "torch.Tensor", temperature: float
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """``(CE, T²·KL)`` in nats, each summed over positions.

    Args:
        student, teacher: logits, (positions, vocabulary); padded to different widths, the narrower's are compared.
        labels: the next token at each position.
    """
    from torch.nn.functional import cross_entropy, kl_div

    student, teacher = student.float(), teacher.float()
    width = min(student.shape[-1], teacher.shape[-1])
    soft_student, soft_teacher = (logits[..., :width].div(temperature).log_softmax(-1) for logits in (student, teacher))
    divergence = kl_div(soft_student, soft_teacher, reduction="sum", log_target=True)
    return cross_entropy(student, labels, reduction="sum"), temperature**2 * divergence


def _trainer_class() -> type:
    import torch

    from kt_resources.trainers.objectives.two_terms import two_term_class

    class FactoryDistillation(two_term_class()):  # type: ignore[misc]
        """The SFT trainer of the factory, taught by another model."""

        def __init__(self, *args: Any, teacher: "PreTrainedModel", config: Distillation, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.teacher, self.distillation = teacher.to(self.accelerator.device), config
            self.weights, self.kl_scale = (config.alpha, 1 - config.alpha), config.temperature**2

        def terms(self, model: Any, inputs: dict[str, Any]) -> "Terms":
            labels = inputs["labels"][:, 1:]
            trained, asked = labels != -100, {k: inputs[k] for k in ("input_ids", "attention_mask")}
            student = model(**asked).logits[:, -labels.size(1) - 1 : -1][trained]
            with torch.no_grad():
                teacher = self.teacher(**asked).logits[:, :-1][trained]
            return *distillation_terms(student, teacher, labels[trained], self.distillation.temperature), trained.sum()

    return FactoryDistillation
