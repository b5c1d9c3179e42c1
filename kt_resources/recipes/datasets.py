"""The recipe's datasets: what a training step reads, made of curated and synthetic rows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kt_resources.generators.config import Engine, Sampling
from kt_resources.recipes.data import Name
from kt_resources.strict import Strict


class Mix(Strict):
    """Curated and synthetic rows mixed by weight for supervised fine-tuning.

    Attributes:
        weights: share of each source (``synthetic`` and ``replay`` among them) of the rows.
        num_rows: rows in all, validation included; None takes all rows of the heaviest source, and of the others
            what their weights ask beside it. A source that runs short is told, and not made up for.
        validation_fraction: share of the prompts held out.
        max_seq_len: rows of more tokens are dropped and counted, never cut.
    """

    type: Literal["mix"]
    weights: dict[Name, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    num_rows: int | None = Field(default=None, ge=2)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    max_seq_len: int = Field(default=512, ge=8)
    seed: int = 0


class OnPolicy(Strict):
    """The policy's own completions, judged by the verifier.

    Attributes:
        policy: the training step whose model answers.
        sources: where the prompts come from; None takes every source of purpose ``preference``.
        num_prompts: prompts sampled; None takes all.
        num_samples: completions a prompt.
        with_reference: the source's own answer to a prompt, where it has one, is a candidate beside the completions;
            the verifier scores it like them. It helps where the policy is never right.
    """

    policy: Name
    sources: list[Name] | None = None
    num_prompts: int | None = Field(default=None, ge=1)
    num_samples: int = Field(default=4, ge=1)
    with_reference: bool = False
    sampling: Sampling = Sampling(temperature=1.0)
    engine: Engine = "auto"
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    seed: int = 0


class OnPolicyPairs(OnPolicy):
    """Pairs of the policy's own completions, the better and the worse told apart by the verifier.

    Attributes:
        min_margin: smallest difference of scores between chosen and rejected.
        max_pairs: pairs in all; None keeps every one.
        max_pairs_per_prompt: pairs of one prompt, over distinct completions.
    """

    type: Literal["on_policy_pairs"]
    min_margin: float = Field(default=0.1, gt=0, le=1)
    max_pairs: int | None = Field(default=None, ge=1)
    max_pairs_per_prompt: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _there_is_something_to_compare(self) -> "OnPolicyPairs":
        if self.num_samples < 2 and not self.with_reference:
            raise ValueError("one completion a prompt makes no pair; take num_samples: 2 or with_reference: true")
        return self


class OnPolicyLabels(OnPolicy):
    """The policy's own completions, each labelled desirable or not by the verifier's score.

    Attributes:
        min_score: score from which a completion is desirable.
    """

    type: Literal["on_policy_labels"]
    min_score: float = Field(default=0.5, gt=0, le=1)


class Own(Strict):
    """Answers of a file that a person judged.

    Attributes:
        sources: where they stand; None takes every file of purpose ``preference``.
        num_rows: so many of them; None takes all.
    """

    sources: list[Name] | None = None
    num_rows: int | None = Field(default=None, ge=2)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    seed: int = 0


class OwnPairs(Own):
    """Pairs of a file: a person says which of two answers is better (format ``preference``)."""

    type: Literal["pairs"]


class OwnLabels(Own):
    """Labelled answers of a file: a person says of each whether it is good (column ``label``)."""

    type: Literal["labels"]


class Prompts(Strict):
    """Verifiable prompts for reinforcement learning; ``sources`` None takes every source of purpose ``rl``."""

    type: Literal["prompts"]
    sources: list[Name] | None = None
    num_rows: int | None = Field(default=None, ge=1)
    validation_rows: int = Field(default=16, ge=1)
    seed: int = 0


Dataset = Annotated[Mix | OnPolicyPairs | OnPolicyLabels | OwnPairs | OwnLabels | Prompts, Field(discriminator="type")]
