"""Reward model: −log σ(r(x, chosen) − r(x, rejected)), Bradley and Terry's model of a preference.

Bradley & Terry 1952; for language models Ouyang et al. 2022 (arXiv:2203.02155, eq. 1). The centering term
c · mean (r(chosen) + r(rejected))² keeps the scale's zero (Eisenstein et al. 2023, arXiv:2312.09244).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.objectives.base import Ingredients, Makes
from kt_resources.trainers.objectives.pairs import PairObjective

if TYPE_CHECKING:
    from transformers import Trainer


class RewardModel(PairObjective):
    """Learn to score answers from pairs; what it makes scores, and cannot answer.

    The head starts at zero, so that every answer scores 0 at first and the loss begins at ln 2.

    Attributes:
        centering: c; 0 leaves the scale's zero where it falls, which rewards of groups do not feel.
    """

    type: Literal["reward_model"] = "reward_model"
    makes: ClassVar[Makes] = "reward_model"
    metric: ClassVar[str] = "eval_reward_accuracy"
    greater_is_better: ClassVar[bool] = True
    full_learning_rate: ClassVar[float] = 1e-5
    adapter_learning_rate: ClassVar[float] = 1e-4

    centering: float = Field(default=0.0, ge=0)

    def start(self, model_dir: Path, scratch_dir: Path) -> Path:
        """The start model under a head that scores."""
        from kt_resources.trainers.kinds import write_reward_model

        return write_reward_model(model_dir, scratch_dir / "start")

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's RewardTrainer, judged by the share of held-out pairs that it orders rightly."""
        from trl import RewardConfig

        arguments = RewardConfig(
            **ingredients.arguments,
            max_length=ingredients.max_seq_len,
            center_rewards_coefficient=self.centering or None,
        )
        if ingredients.peft_config is not None:
            ingredients.peft_config.task_type = "SEQ_CLS"  # PEFT then trains and saves the head beside the adapter
        return _trainer_class()(
            model=ingredients.model,
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            **ingredients.loop,
        )


def _trainer_class() -> type:
    import torch
    from trl import RewardTrainer

    from kt_resources.trainers.loop import FactoryLoop

    class FactoryReward(FactoryLoop, RewardTrainer):
        """RewardTrainer whose held-out figures weigh every pair alike."""

        def row_length(self, row: dict[str, Any]) -> int:
            return max(len(row["chosen_ids"]), len(row["rejected_ids"]))

        def held_out_metrics(self) -> dict[str, float]:
            margins = []
            for inputs in self.get_eval_dataloader():
                with torch.no_grad():
                    rewards = self.model(**self._prepare_inputs(inputs), use_cache=False).logits.squeeze(-1)
                chosen, rejected = rewards.float().chunk(2)
                margins.append(self.accelerator.gather_for_metrics(chosen - rejected))
            margin = torch.cat(margins)
            right = (margin > 0).float() + (margin == 0).float() / 2
            return {
                "eval_loss": -torch.nn.functional.logsigmoid(margin).mean().item(),
                "eval_reward_accuracy": right.mean().item(),
                "eval_reward_margin": margin.mean().item(),
            }

    return FactoryReward
