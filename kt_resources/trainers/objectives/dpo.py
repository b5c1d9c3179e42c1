"""Direct preference optimization: −log σ(β · (log π/π₀ of chosen − of rejected)) (arXiv:2305.18290, eq. 7)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer

LossType = Literal["sigmoid", "hinge", "ipo", "robust", "exo_pair", "apo_zero", "apo_down", "discopop", "sigmoid_norm"]


class Dpo(ObjectiveConfig):
    """Learn preference pairs; the reference is the start model.

    Attributes:
        beta: how strongly the policy is held to the reference, 0.1 to 0.5.
        loss_type: ``sigmoid`` is DPO; ``ipo``, ``robust`` and others as TRL has them.
        label_smoothing: share of pairs taken to be the wrong way round, for ``robust`` and ``exo_pair``.
        sft_weight: weight of the chosen answer's NLL beside the preference loss (0 leaves it out).
    """

    type: Literal["dpo"] = "dpo"
    rows: ClassVar[Rows] = "preference_pairs"
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=0.1, gt=0)
    loss_type: LossType = "sigmoid"
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    sft_weight: float = Field(default=0.0, ge=0)

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """Columns ``id``, ``prompt``, ``chosen``, ``rejected`` as text under the template, up to the stop token."""
        from datasets import Dataset

        from kt_resources.trainers.data import check_pairs, read_rows, rendered_pair

        rows = read_rows(file, ("id", "prompt", "chosen", "rejected"))
        rendered = [rendered_pair(row, tokenizer) for row in rows]
        check_pairs(rendered, tokenizer, max_seq_len, file)
        return Dataset.from_list(rendered)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's DPOTrainer."""
        from trl import DPOConfig

        losses = [self.loss_type, "sft"] if self.sft_weight else [self.loss_type]
        arguments = DPOConfig(
            **ingredients.arguments,
            beta=self.beta,
            loss_type=losses,
            loss_weights=[1.0, self.sft_weight] if self.sft_weight else None,
            label_smoothing=self.label_smoothing,
            max_length=ingredients.max_seq_len,
        )
        return _trainer_class()(
            model=ingredients.model,
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            **ingredients.loop,
        )


def _trainer_class() -> type:
    from trl import DPOTrainer

    from kt_resources.trainers.loop import FactoryLoop

    class FactoryDPO(FactoryLoop, DPOTrainer):
        """DPOTrainer in the factory's loop; its held-out loss is TRL's own, a mean over pairs."""

        def row_length(self, row: dict[str, Any]) -> int:
            return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))

    return FactoryDPO
