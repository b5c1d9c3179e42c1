"""Robust DPO: −((1 − ε) log σ(βΔ) − ε log σ(−βΔ)) / (1 − 2 ε), unbiased where a share ε of pairs is mislabelled.

Chowdhury et al. 2024 (arXiv:2403.00409, eq. 12).
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.dpo import dpo_trainer
from kt_resources.trainers.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from transformers import Trainer


class RobustDpo(PairObjective):
    """DPO for pairs that people or judges sometimes label the wrong way round.

    Attributes:
        beta: how strongly the policy is held to the reference.
        label_smoothing: ε, the share of pairs taken to be the wrong way round; at 0 it would be DPO.
    """

    type: Literal["robust_dpo"] = "robust_dpo"
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=0.1, gt=0)
    label_smoothing: float = Field(default=0.1, gt=0, lt=0.5)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's DPOTrainer under the loss ``robust``; the reference is the start model."""
        return dpo_trainer(ingredients, self.beta, "robust", label_smoothing=self.label_smoothing)
