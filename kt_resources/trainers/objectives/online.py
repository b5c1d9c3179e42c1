"""What objectives share that let the policy answer and learn from the answers' rewards."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pydantic import Field

from kt_resources.errors import TrainingError
from kt_resources.trainers.objectives.base import Ingredients, ObjectiveConfig, Rows
from kt_resources.trainers.steps import online_steps_per_epoch

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase, Trainer

    from kt_resources.trainers.objectives.rewards import Reward
    from kt_resources.trainers.spec import Optimization


Class: TypeAlias = type
"""A class, where ``type`` names an objective's field."""


class OnlineObjective(ObjectiveConfig):
    """Learns from rewards of the policy's own completions.

    One optimizer step scores ``micro_batch_size · gradient_accumulation_steps`` completions on each process, which
    must be whole groups of ``num_generations``.

    Attributes:
        num_generations: completions a prompt, its group.
        num_iterations: optimizer steps that learn from one set of completions, μ in GRPO (arXiv:2402.03300, alg. 1).
            Importance ratios are 1 in the first of them, so that only from the second on ``epsilon`` can clip.
        beta: weight of the KL divergence to the start model; 0 saves its forward pass and logs no KL.
        held_out_samples: answers drawn to a held-out prompt at ``temperature``, whose mean reward is the figure; 0
            takes one greedy answer, whose reward moves only where the likeliest answer changes.
    """

    rows: ClassVar[Rows] = "prompts"
    metric: ClassVar[str] = "eval_reward"
    greater_is_better: ClassVar[bool] = True
    full_learning_rate: ClassVar[float] = 1e-6
    adapter_learning_rate: ClassVar[float] = 1e-4

    num_generations: int = Field(default=8, ge=2)
    num_iterations: int = Field(default=1, ge=1)
    max_completion_length: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    beta: float = Field(default=0.0, ge=0)
    held_out_samples: int = Field(default=0, ge=0)

    @property
    def needs_verifier(self) -> bool:
        return True

    def problem(self, optimization: "Optimization") -> str | None:
        if self.max_completion_length >= optimization.max_seq_len:
            room = f"max_completion_length: {self.max_completion_length} leaves no room for a prompt"
            return f"{room} in optimization.max_seq_len: {optimization.max_seq_len}"
        return None

    def steps_per_epoch(self, num_rows: int, rows_per_pass: int, passes: int) -> int:
        return online_steps_per_epoch(num_rows, rows_per_pass * passes, self.num_generations, self.num_iterations)

    def load(self, file: Path, tokenizer: "PreTrainedTokenizerBase", max_seq_len: int) -> "Dataset":
        """All columns of the prompt rows but ``completion``; the rewards get them with each completion."""
        from datasets import Dataset

        from kt_resources.trainers.data import check_prompts, read_rows

        rows = read_rows(file, ("id", "prompt"), all_columns=True)
        check_prompts(rows, tokenizer, max_seq_len - self.max_completion_length, file)
        return Dataset.from_list([{key: row[key] for key in row if key != "completion"} for row in rows])

    def rewards(self, ingredients: Ingredients) -> "list[Reward]":
        """What is added up to a completion's reward; held-out answers are judged by the first alone."""
        from kt_resources.trainers.objectives.rewards import VerifierReward

        return [VerifierReward(ingredients.verifier)]

    def options(self) -> dict[str, Any]:
        """Fields of TRL's config that are this objective's own."""
        raise NotImplementedError

    def trainer_class(self) -> Class:
        """TRL's trainer in the factory's loop."""
        from trl import GRPOTrainer

        from kt_resources.trainers.rollouts import FoldedRollouts
        from kt_resources.trainers.shared_prompts import SharedPrompts
        from kt_resources.trainers.taught import TaughtOnly

        class FoldedGRPO(FoldedRollouts, TaughtOnly, SharedPrompts, GRPOTrainer):
            """GRPOTrainer whose completions are drawn and scored fast on a CPU, those alone that teach something."""

        return in_the_loop(FoldedGRPO)

    def config_class(self) -> Class:
        """TRL's config of that trainer."""
        from trl import GRPOConfig

        return GRPOConfig

    def build(self, ingredients: Ingredients) -> "Trainer":
        """TRL's trainer in the factory's loop, judged by held-out rewards."""
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        common = whole_groups(ingredients.arguments, self.num_generations, processes)
        enough_prompts(common, self.num_generations, processes, len(ingredients.train))
        arguments = self.config_class()(
            **common,
            num_generations=self.num_generations,
            num_iterations=self.num_iterations,
            max_completion_length=self.max_completion_length,
            temperature=self.temperature,
            top_p=self.top_p,
            beta=self.beta,
            **self.options(),
        )
        return self.trainer_class()(
            model=ingredients.model,
            reward_funcs=self.rewards(ingredients),
            args=arguments,
            train_dataset=ingredients.train,
            eval_dataset=ingredients.validation,
            processing_class=ingredients.tokenizer,
            peft_config=ingredients.peft_config,
            objective=self,
            **ingredients.loop,
        )


def completions_a_step(arguments: dict[str, Any], processes: int) -> int:
    """Completions that one optimizer step of all processes learns from."""
    passes: int = arguments["gradient_accumulation_steps"]
    return arguments["per_device_train_batch_size"] * passes * processes


def whole_groups(arguments: dict[str, Any], num_generations: int, processes: int) -> dict[str, Any]:
    """``arguments``, once a step of that many processes is known to be made of whole groups of completions."""
    completions = completions_a_step(arguments, processes)
    if completions % num_generations:
        raise TrainingError(
            f"a step of {completions} completions is not made of whole groups of {num_generations}",
            where="optimization.micro_batch_size · gradient_accumulation_steps · processes",
            mend=f"choose a multiple of objective.num_generations ({num_generations})",
        )
    return arguments


def enough_prompts(arguments: dict[str, Any], num_generations: int, processes: int, num_prompts: int) -> None:
    """Refuse fewer prompts than a step has groups: no step could be made of them."""
    completions = completions_a_step(arguments, processes)
    if num_prompts < (groups := completions // num_generations):
        raise TrainingError(
            f"a step answers {groups} prompts ({completions} completions, {num_generations} a prompt), "
            f"and there are {num_prompts}",
            where="optimization.micro_batch_size · gradient_accumulation_steps · processes",
            mend=f"take at most {num_prompts * num_generations} completions a step, or give more prompts",
        )


def in_the_loop(trainer: type) -> type:
    """``trainer`` in the factory's loop, judged by held-out rewards."""
    import torch
    from trl.trainer.utils import RepeatSampler

    from kt_resources.trainers.answers import Draw, drawn_answers, greedy_answers
    from kt_resources.trainers.loop import FactoryLoop

    class FactoryOnline(FactoryLoop, trainer):
        """An online trainer judged by the mean reward of its answers to held-out prompts."""

        def __init__(self, *args: Any, objective: OnlineObjective, **kwargs: Any) -> None:
            self.objective = objective
            super().__init__(*args, **kwargs)
            for reward in self.reward_funcs:
                if hasattr(reward, "to"):
                    reward.to(self.accelerator.device)

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
            asked, samples = self.eval_dataset.to_list(), self.objective.held_out_samples
            rows = [row for row in asked for _ in range(max(1, samples))]
            mine = rows[self.accelerator.process_index :: self.accelerator.num_processes]
            model, prompts = self.accelerator.unwrap_model(self.model), [row["prompt"] for row in mine]
            length, tokenizer = self.max_completion_length, self.processing_class
            if samples:
                draw = Draw(self.temperature, self.top_p, self.args.seed)
                answers = drawn_answers(model, tokenizer, prompts, length, draw)
            else:
                answers = greedy_answers(model, tokenizer, prompts, length)
            columns = {key: [row[key] for row in mine] for key in rows[0]}
            texts = [answer.text for answer in answers]
            rewards = self.reward_funcs[0](completions=texts, prompts=prompts, **columns) if mine else []
            ends = [not answer.stopped for answer in answers]
            found = [sum(rewards), sum(answer.num_tokens for answer in answers), sum(ends)]
            sums = torch.tensor(found, dtype=torch.float32, device=self.accelerator.device)
            reward, tokens, truncated = (self.accelerator.reduce(sums, reduction="sum") / len(rows)).tolist()
            return {
                "eval_reward": reward,
                "eval_completion_length": tokens,
                "eval_truncated_fraction": truncated,
            }

    return FactoryOnline
