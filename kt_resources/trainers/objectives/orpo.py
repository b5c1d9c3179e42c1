"""Odds ratio preference optimization: NLL − λ log σ(log odds of chosen − log odds of rejected).

Hong et al. 2024 (arXiv:2403.07691, eq. 6–7). log odds(y) = log p − log(1 − p), log p the mean log-probability of the
answer's tokens. As in the authors' code and TRL the NLL is over prompt and chosen answer.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.pairs import PairObjective, reference_free

if TYPE_CHECKING:
    from transformers import Trainer


class Orpo(PairObjective):
    """Learn the chosen answers and the preference at once: no SFT before it, no reference model.

    Attributes:
        weight: λ of the paper, of the odds ratio beside the NLL (TRL calls it beta).
    """

    type: Literal["orpo"] = "orpo"
    full_learning_rate: ClassVar[float] = 8e-6
    adapter_learning_rate: ClassVar[float] = 1e-4

    weight: float = Field(default=0.1, gt=0)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """trl.experimental's ORPOTrainer."""
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return reference_free(ORPOTrainer, ORPOConfig, ingredients, beta=self.weight)
