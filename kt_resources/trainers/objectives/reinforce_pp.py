"""REINFORCE++: advantage = (R − mean of the batch) / std of the batch, PPO's clipped loss, no critic.

Hu 2025 (arXiv:2501.03262, eq. 8 and §3): normalizing over the whole batch instead of a prompt's group keeps the
baseline from depending on the very completions it judges. With ``baseline: group`` the group's mean is taken off
before, which is the paper's REINFORCE++-Baseline. KL to the start model is a loss term, as TRL's GRPO has it.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kt_resources.trainers.objectives.online import Class, OnlineObjective

if TYPE_CHECKING:
    import torch

EPSILON = 1e-4
"""Added to the standard deviation, as in TRL."""


class ReinforcePp(OnlineObjective):
    """Learn from rewards relative to the whole batch.

    Attributes:
        baseline: ``none`` compares with the batch alone; ``group`` with the prompt's other completions first.
        epsilon: clip range of a token's importance ratio.
    """

    type: Literal["reinforce_pp"] = "reinforce_pp"

    num_generations: int = Field(default=4, ge=2)
    baseline: Literal["none", "group"] = "none"
    epsilon: float = Field(default=0.2, gt=0)

    def options(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "loss_type": "dapo", "scale_rewards": "batch"}

    def trainer_class(self) -> Class:
        return _over_the_batch(super().trainer_class())


def batch_advantages(rewards: "torch.Tensor", num_generations: int, baseline: str) -> "torch.Tensor":
    """Advantages of all completions of a step.

    Args:
        rewards: (completions), groups of ``num_generations`` side by side.
    """
    if baseline == "group":
        rewards = (rewards.view(-1, num_generations) - rewards.view(-1, num_generations).mean(1, keepdim=True)).view(-1)
    return (rewards - rewards.mean()) / (rewards.std() + EPSILON)


def _over_the_batch(trainer: type) -> type:
    class BatchAdvantages(trainer):
        """GRPOTrainer whose advantages are :func:`batch_advantages`."""

        def _calculate_rewards(self, *args: Any, **kwargs: Any) -> "torch.Tensor":
            by_function = super()._calculate_rewards(*args, **kwargs)
            self._rewards = (by_function * self.reward_weights.to(by_function.device)).nansum(dim=1)
            return by_function

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
            advantages = batch_advantages(self._rewards, self.num_generations, self.objective.baseline)
            first = self.accelerator.process_index * len(inputs)
            return output | {"advantages": advantages[first : first + len(inputs)]}

    return BatchAdvantages
