"""Group relative policy optimization: advantage = (reward − mean) / std within a prompt's group (arXiv:2402.03300)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kt_resources.errors import KtError, TrainingError
from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer

    from kt_resources.verifiers import VerifierConfig


class Grpo(ObjectiveConfig):
    """Learn from the verifier's scores of the policy's own completions.

    One optimizer step scores ``micro_batch_size · gradient_accumulation_steps`` completions on each process, which
    must be whole groups of ``num_generations``.

    Attributes:
        num_generations: completions a prompt, the group over which advantages are normalized.
        beta: weight of the KL divergence to the start model; 0 saves its forward pass and logs no KL.
        epsilon: clip range of the importance ratio below 1; ``epsilon_high`` above (None: the same), DAPO takes 0.28.
        loss_type: as TRL has them; ``dapo`` normalizes by tokens.
        mask_truncated: leave completions that ran out of tokens out of the loss.
    """

    type: Literal["grpo"] = "grpo"
    rows: ClassVar[Rows] = "prompts"
    metric: ClassVar[str] = "eval_reward"
    greater_is_better: ClassVar[bool] = True
    needs_verifier: ClassVar[bool] = True
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-4

    num_generations: int = Field(default=8, ge=2)
    max_completion_length: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    beta: float = Field(default=0.0, ge=0)
    epsilon: float = Field(default=0.2, gt=0)
    epsilon_high: float | None = Field(default=None, gt=0)
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    mask_truncated: bool = False

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """All columns of the prompt rows but ``completion``; the verifier gets them with each completion."""
        from datasets import Dataset

        from kt_resources.trainers.data import check_prompts, read_rows

        rows = read_rows(file, ("id", "prompt"), all_columns=True)
        check_prompts(rows, tokenizer, max_seq_len - self.max_completion_length, file)
        return Dataset.from_list([{key: row[key] for key in row if key != "completion"} for row in rows])

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's GRPOTrainer with the verifier as its reward."""
        from trl import GRPOConfig

        arguments = GRPOConfig(
            **_whole_groups(ingredients.arguments, self.num_generations),
            num_generations=self.num_generations,
            max_completion_length=self.max_completion_length,
            temperature=self.temperature,
            top_p=self.top_p,
            beta=self.beta,
            epsilon=self.epsilon,
            epsilon_high=self.epsilon_high,
            loss_type=self.loss_type,
            scale_rewards=self.scale_rewards,
            mask_truncated_completions=self.mask_truncated,
        )
        return _trainer_class()(
            model=ingredients.model,
            reward_funcs=[reward_function(ingredients.verifier)],
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            **ingredients.loop,
        )


def _whole_groups(arguments: dict[str, Any], num_generations: int) -> dict[str, Any]:
    """``arguments``, once a step is known to be made of whole groups of completions."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    completions = arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"] * processes
    if completions % num_generations:
        raise TrainingError(
            f"a step of {completions} completions is not made of whole groups of {num_generations}",
            where="optimization.micro_batch_size · gradient_accumulation_steps · processes",
            mend=f"choose a multiple of objective.num_generations ({num_generations})",
        )
    return arguments


def reward_function(verifier: "VerifierConfig") -> Callable[..., list[float]]:
    """The verifier as TRL calls a reward: columns of lists in, one score a completion out.

    Raises:
        KtError: the verifier failed on a row, which is named.
    """
    from kt_resources.verifiers import build_verifier

    score = build_verifier(verifier)

    def reward(completions: list[Any], **columns: Any) -> list[float]:
        fields = {key: values for key, values in columns.items() if isinstance(values, list)}
        rows = [{key: values[index] for key, values in fields.items()} for index in range(len(completions))]
        return [_score(score, text_of(completion), row) for completion, row in zip(completions, rows, strict=True)]

    return reward


def _score(score: Callable[[str, dict[str, Any]], float], completion: str, row: dict[str, Any]) -> float:
    try:
        return float(score(completion, row))
    except KtError:
        raise
    except Exception as error:
        raise TrainingError(
            f"the verifier failed: {type(error).__name__}: {error}",
            where=f"row {row.get('id', '?')}",
            mend="make the verifier return a score between 0 and 1 for any completion",
        ) from error


def text_of(completion: Any) -> str:
    """The text of a completion, given as text or as a list of messages."""
    return completion if isinstance(completion, str) else "".join(message["content"] for message in completion)


def _trainer_class() -> type:
    import torch
    from trl import GRPOTrainer
    from trl.trainer.utils import RepeatSampler

    from kt_resources.trainers.answers import greedy_answers
    from kt_resources.trainers.loop import FactoryLoop
    from kt_resources.trainers.rollouts import FoldedRollouts

    class FactoryGRPO(FactoryLoop, FoldedRollouts, GRPOTrainer):
        """GRPOTrainer judged by the mean reward of one greedy answer to each held-out prompt."""

        def epoch_order(self, epoch: int) -> "torch.utils.data.Sampler":
            return RepeatSampler(
                data_source=self.train_dataset,
                mini_repeat_count=self.num_generations,
                batch_size=self.args.generation_batch_size // self.num_generations,
                repeat_count=self.num_iterations * self.args.steps_per_generation,
                seed=self.args.seed + epoch,
            )

        def loader_batch_size(self) -> int:
            return self._train_batch_size * self.args.steps_per_generation

        def held_out_metrics(self) -> dict[str, float]:
            rows = self.eval_dataset.to_list()
            mine = rows[self.accelerator.process_index :: self.accelerator.num_processes]
            model = self.accelerator.unwrap_model(self.model)
            answers = greedy_answers(
                model, self.processing_class, [row["prompt"] for row in mine], self.max_completion_length
            )
            columns = {key: [row[key] for row in mine] for key in rows[0]}
            rewards = self.reward_funcs[0](completions=[answer.text for answer in answers], **columns) if mine else []
            sums = torch.tensor(
                [
                    sum(rewards),
                    sum(answer.num_tokens for answer in answers),
                    sum(not answer.stopped for answer in answers),
                ],
                dtype=torch.float32,
                device=self.accelerator.device,
            )
            reward, tokens, truncated = (self.accelerator.reduce(sums, reduction="sum") / len(rows)).tolist()
            return {
                "eval_reward": reward,
                "eval_completion_length": tokens,
                "eval_truncated_fraction": truncated,
            }

    return FactoryGRPO
