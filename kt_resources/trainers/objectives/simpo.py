"""SimPO: −log σ(β (mean log π of chosen − mean log π of rejected) − γ), means over the answer's tokens.

Meng et al. 2024 (arXiv:2405.14734, eq. 6).
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.pairs import PairObjective, reference_free

if TYPE_CHECKING:
    from transformers import Trainer


class Simpo(PairObjective):
    """Preference by the length-normalized log-probability that generation maximizes; no reference model.

    Attributes:
        beta: scale of the reward, 2.0 to 10 in the paper.
        gamma: the margin by which chosen should win; γ / β of about 0.5 is usual.
    """

    type: Literal["simpo"] = "simpo"
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=2.0, gt=0)
    gamma: float = Field(default=1.0, ge=0)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """trl.experimental's CPOTrainer under the loss ``simpo``, without its NLL."""
        from trl.experimental.cpo import CPOConfig, CPOTrainer

        options = {"loss_type": "simpo", "beta": self.beta, "simpo_gamma": self.gamma, "cpo_alpha": 0.0}
        return reference_free(CPOTrainer, CPOConfig, ingredients, **options)
