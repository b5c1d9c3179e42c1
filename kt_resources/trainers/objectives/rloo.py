"""REINFORCE leave-one-out: advantage = reward − mean reward of the prompt's other completions.

Ahmadian et al. 2024 (arXiv:2402.14740, eq. 7).
With a reward model this is RLHF: the reward is r(x, y) − β log π(y|x) / π₀(y|x) (Ouyang et al. 2022, arXiv:2203.02155).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients, Makes
from kt_resources.trainers.objectives.online import Class, OnlineObjective, in_the_loop

if TYPE_CHECKING:
    from kt_resources.trainers.objectives.rewards import Reward


class Rloo(OnlineObjective):
    """Learn from a reward model's numbers for the policy's own completions, or from the verifier's scores.

    Attributes:
        reward_model: the step whose model rewards; None takes the verifier.
        beta: of the KL divergence to the start model, taken off the reward.
        epsilon: clip range of the sequence's importance ratio.
        normalize_advantages: divide advantages by their standard deviation over the batch.
        reward_clip: rewards are held within ± this before KL; None leaves them.
    """

    type: Literal["rloo"] = "rloo"
    companion_kinds: ClassVar[Mapping[str, Makes]] = {"reward_model": "reward_model"}

    reward_model: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*$")
    num_generations: int = Field(default=4, ge=2)
    beta: float = Field(default=0.05, ge=0)
    epsilon: float = Field(default=0.2, gt=0)
    normalize_advantages: bool = False
    reward_clip: float | None = Field(default=None, gt=0)

    @property
    def needs_verifier(self) -> bool:
        return self.reward_model is None

    @property
    def companions(self) -> dict[str, str]:
        return {} if self.reward_model is None else {"reward_model": self.reward_model}

    def rewards(self, ingredients: Ingredients) -> "list[Reward]":
        from kt_resources.trainers.objectives.rewards import ModelReward

        if self.reward_model is None:
            return super().rewards(ingredients)
        return [ModelReward(ingredients.companions["reward_model"], ingredients.model.dtype)]

    def options(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "normalize_advantages": self.normalize_advantages,
            "reward_clip_range": None if self.reward_clip is None else (-self.reward_clip, self.reward_clip),
        }

    def trainer_class(self) -> Class:
        from trl import RLOOTrainer

        from kt_resources.trainers.shared_prompts import SharedPrompts

        class SharedRLOO(SharedPrompts, RLOOTrainer):
            """RLOOTrainer that computes a prompt once for all of its completions on a CPU."""

        return in_the_loop(SharedRLOO)

    def config_class(self) -> Class:
        from trl import RLOOConfig

        return RLOOConfig
