"""Group relative policy optimization: advantage = (reward − mean) / std within a prompt's group (arXiv:2402.03300)."""

from typing import Any, Literal

from pydantic import Field

from kt_resources.trainers.objectives.online import OnlineObjective


class GroupObjective(OnlineObjective):
    """Options that GRPO and its relatives share.

    Attributes:
        epsilon: clip range of the importance ratio below 1; ``epsilon_high`` above (None: the same).
        loss_type: as TRL has them; ``dapo`` normalizes by tokens.
        scale_rewards: over what the rewards' standard deviation is taken.
        mask_truncated: leave completions that ran out of tokens out of the loss.
    """

    epsilon: float = Field(default=0.2, gt=0)
    epsilon_high: float | None = Field(default=None, gt=0)
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    mask_truncated: bool = False

    def options(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "epsilon_high": self.epsilon_high,
            "loss_type": self.loss_type,
            "scale_rewards": self.scale_rewards,
            "mask_truncated_completions": self.mask_truncated,
        }


class Grpo(GroupObjective):
    """Learn from the verifier's scores of the policy's own completions, relative to the others of their prompt."""

    type: Literal["grpo"] = "grpo"
