"""Identity preference optimization: (h − 1 / (2 β))², h the log-ratio of chosen less that of rejected.

Azar et al. 2023 (arXiv:2310.12036, eq. 17); TRL takes each log-ratio as a mean over the answer's tokens.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.dpo import dpo_trainer
from kt_resources.trainers.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from transformers import Trainer


class Ipo(PairObjective):
    """Like DPO, but the margin is led to a fixed distance instead of ever further: less overfitting on sure pairs.

    Attributes:
        beta: τ of the paper; the margin is led to 1 / (2 β).
    """

    type: Literal["ipo"] = "ipo"
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=0.1, gt=0)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's DPOTrainer under the loss ``ipo``; the reference is the start model."""
        return dpo_trainer(ingredients, self.beta, "ipo")
