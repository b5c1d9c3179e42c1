"""Contrastive preference optimization: −log σ(β (log π of chosen − log π of rejected)) + α NLL of chosen.

Xu et al. 2024 (arXiv:2401.08417, eq. 5–6): DPO with a uniform reference, held by the NLL of the chosen answer.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.pairs import PairObjective, reference_free

if TYPE_CHECKING:
    from transformers import Trainer


class Cpo(PairObjective):
    """Preference without a reference model: half of DPO's forward passes.

    Attributes:
        beta: scale of the log-probabilities' difference.
        nll_weight: α, of the chosen answer's NLL.
    """

    type: Literal["cpo"] = "cpo"
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-5

    beta: float = Field(default=0.1, gt=0)
    nll_weight: float = Field(default=1.0, ge=0)

    def build(self, ingredients: Ingredients) -> "Trainer":
        """trl.experimental's CPOTrainer under the loss ``sigmoid``."""
        from trl.experimental.cpo import CPOConfig, CPOTrainer

        options = {"loss_type": "sigmoid", "beta": self.beta, "cpo_alpha": self.nll_weight}
        return reference_free(CPOTrainer, CPOConfig, ingredients, **options)
