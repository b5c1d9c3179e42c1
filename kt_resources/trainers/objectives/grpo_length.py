"""GRPO with length regularization: among right answers the shorter ones are rewarded more, Kimi k1.5's way.

Kimi Team 2025 (arXiv:2501.12599, §2.3.3): beside the verifier's score each answer gets w · λ if it is right and
w · min(0, λ) if not, λ = ½ − (length − shortest) / (longest − shortest) within the prompt's group.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients
from kt_resources.trainers.objectives.grpo import GroupObjective
from kt_resources.trainers.objectives.online import whole_groups

if TYPE_CHECKING:
    from transformers import Trainer

    from kt_resources.trainers.objectives.rewards import Reward


class GrpoLength(GroupObjective):
    """GRPO that shortens answers without asking for wrong ones; held-out rewards are the verifier's alone.

    Attributes:
        length_weight: w; small beside the difference between a right and a wrong answer. The paper warms it up from 0
            by training without it first: give a ``grpo`` step before this one.
        right_from: the verifier's score from which an answer is right.
    """

    type: Literal["grpo_length"] = "grpo_length"

    length_weight: float = Field(default=0.2, gt=0)
    right_from: float = Field(default=1.0, gt=0, le=1)

    def rewards(self, ingredients: Ingredients) -> "list[Reward]":
        from kt_resources.trainers.objectives.rewards import LengthReward, VerifierReward

        verifier = VerifierReward(ingredients.verifier)
        return [verifier, LengthReward(verifier, self.num_generations, self.right_from, self.length_weight)]

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's GRPOTrainer; lengths are compared within groups, so each process must hold whole ones."""
        whole_groups(ingredients.arguments, self.num_generations, processes=1)
        return super().build(ingredients)
