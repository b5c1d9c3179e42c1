"""The spec of the training program: what to train, from what, how."""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kt_resources.compute.needs import Precision
from kt_resources.compute.program import ProgramSpec
from kt_resources.strict import Strict
from kt_resources.trainers.objectives import Objective, ObjectiveConfig
from kt_resources.trainers.updates import Update, UpdateStrategy
from kt_resources.verifiers import NoVerifier, Verifier


class Optimization(Strict):
    """How long and how fast to train; the same for every objective and update strategy.

    One optimizer step sees ``micro_batch_size · gradient_accumulation_steps`` rows on each process (for GRPO:
    completions). Where ``max_steps`` is given it wins over ``num_epochs``.

    Attributes:
        learning_rate: peak of the schedule; None takes the objective's vetted default for the update strategy.
        warmup_ratio: share of the steps over which the rate rises from 0.
        num_evals: held-out evaluations over the run, evenly spaced, the last one after the last step.
        eval_steps: steps between evaluations; None derives them from ``num_evals``.
        checkpoint_steps: steps between checkpoints; None writes one when it has been earned
            (:func:`checkpoint_interval`), and after the last step.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about 20 % slower.
    """

    learning_rate: float | None = Field(default=None, gt=0)
    num_epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    micro_batch_size: int = Field(default=16, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_seq_len: int = Field(default=1024, ge=8)
    num_evals: int = Field(default=5, ge=1)
    eval_steps: int | None = Field(default=None, ge=1)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    gradient_checkpointing: bool = False
    seed: int = 0


def eval_pace(optimization: Optimization, max_steps: int) -> int:
    """Steps between evaluations.

    >>> eval_pace(Optimization(num_evals=4), 100)
    25
    """
    return max(1, optimization.eval_steps or -(-max_steps // optimization.num_evals))


CHECKPOINT_SHARE, CHECKPOINT_LEAST_S = 0.05, 30.0


def checkpoint_interval(write_s: float) -> float:
    """Seconds after which a checkpoint that takes ``write_s`` is earned: 5 % at most go into writing.

    What a crash may cost is that much, and half a minute where writing takes no time.

    >>> checkpoint_interval(0.1), checkpoint_interval(6.0)
    (30.0, 120.0)
    """
    return max(CHECKPOINT_LEAST_S, write_s / CHECKPOINT_SHARE)


def num_checkpoints(train_s: float, write_s: float) -> int:
    """Checkpoints of ``write_s`` in a run of ``train_s``, writing apart.

    One after half a minute, which tells what writing takes; those that are earned from there on; one after the last
    step.

    >>> num_checkpoints(20, 6.0), num_checkpoints(60, 6.0), num_checkpoints(300, 6.0)
    (1, 2, 4)
    """
    return 1 + max(0, math.ceil((train_s - CHECKPOINT_LEAST_S) / checkpoint_interval(write_s)))


def problem_of(
    objective: ObjectiveConfig, update: UpdateStrategy, optimization: Optimization, sharded: bool
) -> str | None:
    """Why the two axes and the optimization cannot go together; None where they can."""
    if objective.makes == "reward_model" and not update.mergeable:
        return f"a reward model is read whole by the steps that it rewards, and {update.type} leaves an adapter only"
    if getattr(objective, "packing", False) and not update.mergeable:
        return f"{update.type}'s vectors stand before a whole line, so that packed rows would see each other"
    return objective.problem(optimization) or update.problem_with(optimization, sharded)


class Message(Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class SamplePrompt(Strict):
    """A held-out prompt that the start model and the trained model both answer.

    Attributes:
        answer: the ground truth, shown beside the answers.
    """

    id: str = ""
    prompt: tuple[Message, ...] = Field(min_length=1)
    answer: str | None = None


class TrainSpec(ProgramSpec):
    """What the training program is given.

    Attributes:
        name: of the step, for logs and reports.
        model_dir: the start model, a full Hugging Face checkpoint.
        train_file: Parquet rows of the objective's kind.
        validation_file: held-out rows; without them the last step is kept instead of the best.
        precision: of the computation, resolved for the device already.
        verifier: where the objective needs a reward; ``none`` otherwise.
        companions: checkpoints of the objective's further models, by role.
        sample_tokens: longest answer to a sample prompt.
    """

    name: str = "train"
    model_dir: Path
    train_file: Path
    validation_file: Path | None = None
    objective: Objective
    update: Update
    optimization: Optimization = Optimization()
    precision: Precision = "fp32"
    verifier: Verifier = NoVerifier()
    companions: dict[str, Path] = {}
    sample_prompts: tuple[SamplePrompt, ...] = ()
    sample_tokens: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _has_a_verifier_where_one_is_needed(self) -> "TrainSpec":
        if self.objective.needs_verifier and self.verifier.type == "none":
            raise ValueError(f"objective {self.objective.type!r} needs a verifier")
        return self

    @model_validator(mode="after")
    def _can_learn(self) -> "TrainSpec":
        if problem := problem_of(self.objective, self.update, self.optimization, sharded=False):
            raise ValueError(problem)
        return self

    @property
    def learning_rate(self) -> float:
        """The peak learning rate; where none is given, the objective's default as the update strategy scales it."""
        if self.optimization.learning_rate is not None:
            return self.optimization.learning_rate
        adapter = self.update.has_adapter
        default = self.objective.adapter_learning_rate if adapter else self.objective.full_learning_rate
        return default * self.update.learning_rate_scale
