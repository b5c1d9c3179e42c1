"""Kahneman-Tversky optimization: λ_D (1 − σ(β (r − z₀))) for a desirable answer, λ_U (1 − σ(β (z₀ − r))) for another.

Ethayarajh et al. 2024 (arXiv:2402.01306, eq. 7 and 8). r is the answer's log-ratio of policy to reference, summed over
its tokens; z₀, without gradient, the mean log-ratio of the micro-batch's prompts with each other's answers, at least 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.errors import TrainingError
from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer

    from kt_resources.trainers.spec import Optimization


class Kto(ObjectiveConfig):
    """Learn from answers that are labelled good or bad one by one; a preference pair becomes one of each.

    Attributes:
        beta: how strongly the policy is held to the reference, the start model.
        desirable_weight: λ_D; with few good answers raise it, so that λ_D n_D / (λ_U n_U) lies in 1 to 4/3.
        undesirable_weight: λ_U.
    """

    type: Literal["kto"] = "kto"
    rows: ClassVar[Rows] = "labels"
    also_fits: ClassVar[tuple[Rows, ...]] = ("preference_pairs",)
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=0.1, gt=0)
    desirable_weight: float = Field(default=1.0, gt=0)
    undesirable_weight: float = Field(default=1.0, gt=0)

    def problem(self, optimization: "Optimization") -> str | None:
        if optimization.micro_batch_size < 2:
            return "kto compares each prompt with another row's answer: take a micro_batch_size of 2 or more"
        return None

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """Columns ``id``, ``prompt``, ``completion`` (text under the template, up to the stop token) and ``label``."""
        from datasets import Dataset

        from kt_resources.trainers.data import check_labels, read_labels, rendered_label

        rows = [rendered_label(row, tokenizer) for row in read_labels(file)]
        check_labels(rows, tokenizer, max_seq_len, file)
        return Dataset.from_list(rows)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's KTOTrainer, the answers of z₀ exchanged within each micro-batch as it is drawn."""
        from trl import KTOConfig

        further: dict[str, Any] = {}
        if ingredients.validation is not None:
            wanted = ingredients.arguments["per_device_eval_batch_size"]
            further["per_device_eval_batch_size"] = without_lone_row(len(ingredients.validation), wanted)
        arguments = KTOConfig(
            **ingredients.arguments | further,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
            max_length=ingredients.max_seq_len,
        )
        tokenizer = ingredients.tokenizer
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return _trainer_class()(
            model=ingredients.model,
            args=arguments,
            data_collator=_collator_class()(pad_token_id=pad, max_length=ingredients.max_seq_len),
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=tokenizer,
            peft_config=ingredients.peft_config,
            **ingredients.loop,
        )


def without_lone_row(num_rows: int, batch_size: int) -> int:
    """The smallest batch size from ``batch_size`` up that leaves no last batch of one row.

    >>> [without_lone_row(17, size) for size in (6, 8, 16, 17)]
    [6, 9, 17, 17]

    Raises:
        TrainingError: there is only one row.
    """
    if num_rows < 2:
        raise TrainingError("kto judges held-out rows by each other, and there is one", mend="hold more rows out")
    return next(size for size in range(batch_size, batch_size + num_rows) if num_rows % size != 1)


def exchanged_answers(examples: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Another row's ``completion_ids`` for each row: all moved on by the shift that leaves the fewest at their prompt.

    A shift by one would give a prompt its own other answer where both rows of a pair stand side by side.
    """
    count = len(examples)

    def at_their_own(shift: int) -> int:
        return sum(examples[i]["prompt_ids"] == examples[(i + shift) % count]["prompt_ids"] for i in range(count))

    best = min(range(1, count), key=at_their_own)
    return [examples[(index + best) % count]["completion_ids"] for index in range(count)]


def _collator_class() -> type:
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

    class ExchangingCollator(DataCollatorForUnpairedPreference):
        """TRL rotates answers once, within blocks of the file's order; rows are drawn in another, so here it is now."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            others = exchanged_answers(examples)
            rows = [row | {"KL_completion_ids": other} for row, other in zip(examples, others, strict=True)]
            return super().torch_call(rows)

    return ExchangingCollator


def _trainer_class() -> type:
    from trl import KTOTrainer

    from kt_resources.trainers.loop import FactoryLoop

    class FactoryKTO(FactoryLoop, KTOTrainer):
        """KTOTrainer in the factory's loop; its held-out loss is TRL's own, a mean over rows."""

        def row_length(self, row: dict[str, Any]) -> int:
            """The prompt's tokens alone: sorted by their answers' lengths, good and bad rows would part."""
            return len(row["prompt_ids"])

        def epoch_order(self, epoch: int) -> Sequence[int]:
            """The factory's order, less its last row where that would be a micro-batch by itself."""
            order = list(super().epoch_order(epoch))
            return order[:-1] if len(order) % self.loader_batch_size() == 1 else order

    return FactoryKTO
