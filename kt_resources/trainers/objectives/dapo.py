"""DAPO: GRPO with a clip range wider above than below, a mean over tokens, soft overlong punishment, dynamic sampling.

Yu et al. 2025 (arXiv:2503.14476): ε_low = 0.2 and ε_high = 0.28 (eq. 10), the loss divided by the batch's tokens
(eq. 12), the punishment of lengths (eq. 13), and groups whose rewards are all equal dropped and refilled (eq. 11).
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.online import Class, OnlineObjective, whole_groups

if TYPE_CHECKING:
    from transformers import Trainer

    from kt_resources.trainers.objectives.rewards import Reward


class Dapo(OnlineObjective):
    """GRPO as DAPO has it; no KL unless ``beta`` asks for one.

    Attributes:
        epsilon: clip range of a token's importance ratio below 1; ``epsilon_high`` above.
        overlong_share: the last share of ``max_completion_length`` over which the punishment grows from 0 to 1; the
            paper's fifth; 0 punishes nothing.
        max_redraws: how often the groups to which the verifier gives equal scores in a step may be dropped and refilled
            with other prompts; what is equal after that stays, and teaches nothing. 0 drops none.
        mask_truncated: leave completions that ran out of tokens out of the loss.
    """

    type: Literal["dapo"] = "dapo"

    epsilon: float = Field(default=0.2, gt=0)
    epsilon_high: float = Field(default=0.28, gt=0)
    overlong_share: float = Field(default=0.2, ge=0, le=1)
    max_redraws: int = Field(default=4, ge=0)
    mask_truncated: bool = False

    def rewards(self, ingredients: Ingredients) -> "list[Reward]":
        from trl.rewards import get_soft_overlong_punishment

        soft = round(self.overlong_share * self.max_completion_length)
        punished = [get_soft_overlong_punishment(self.max_completion_length, soft)] if soft else []
        return [*super().rewards(ingredients), *punished]

    def options(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "epsilon_high": self.epsilon_high,
            "loss_type": "dapo",
            "mask_truncated_completions": self.mask_truncated,
        }

    def trainer_class(self) -> Class:
        from kt_resources.trainers.objectives.dynamic_sampling import DynamicSampling

        trainer: Any = super().trainer_class()

        class DynamicGRPO(DynamicSampling, trainer):
            """GRPOTrainer that draws other prompts in place of groups with equal rewards."""

        return DynamicGRPO

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's GRPOTrainer with dynamic sampling, for which each process must hold whole groups."""
        whole_groups(ingredients.arguments, self.num_generations, processes=1)
        return super().build(ingredients)
