"""Direct preference optimization: −log σ(β · (log π/π₀ of chosen − of rejected)) (arXiv:2305.18290, eq. 7)."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from transformers import Trainer

LossType = Literal["sigmoid", "hinge", "apo_zero", "apo_down", "discopop", "sigmoid_norm"]


class Dpo(PairObjective):
    """Learn preference pairs; the reference is the start model.

    Attributes:
        beta: how strongly the policy is held to the reference, 0.1 to 0.5.
        loss_type: ``sigmoid`` is DPO; the others as TRL has them. IPO and robust DPO are objectives of their own.
        sft_weight: weight of the chosen answer's NLL beside the preference loss (0 leaves it out).
    """

    type: Literal["dpo"] = "dpo"
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=0.1, gt=0)
    loss_type: LossType = "sigmoid"
    sft_weight: float = Field(default=0.0, ge=0)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's DPOTrainer; the reference is the start model."""
        return dpo_trainer(ingredients, self.beta, self.loss_type, self.sft_weight)


def dpo_trainer(
    ingredients: Ingredients, beta: float, loss_type: str, sft_weight: float = 0.0, label_smoothing: float = 0.0
) -> "Trainer":
    """TRL's DPOTrainer under any of its losses, an NLL of the chosen answer beside it where it has a weight."""
    from trl import DPOConfig

    arguments = DPOConfig(
        **ingredients.arguments,
        beta=beta,
        loss_type=[loss_type, "sft"] if sft_weight else [loss_type],
        loss_weights=[1.0, sft_weight] if sft_weight else None,
        label_smoothing=label_smoothing,
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
    from kt_resources.trainers.shared_prompts import SharedPrompts

    class FactoryDPO(FactoryLoop, SharedPrompts, DPOTrainer):
        """DPOTrainer in the factory's loop; its held-out loss is TRL's own, a mean over pairs."""

        def row_length(self, row: dict[str, Any]) -> int:
            return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))

    return FactoryDPO
