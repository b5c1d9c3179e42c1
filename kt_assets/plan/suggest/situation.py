"""What a suggestion is made from: the rows there are, the model, the device, the goal and a wish."""

from dataclasses import dataclass
from typing import Literal, get_args

from kt_resources.compute.devices import Device
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.precision import best_precision

Goal = Literal["classification", "extraction", "chat", "reasoning", "expert", "code"]
Wish = Literal["quality", "fast", "one_stage", "all_weights"]
GOALS: tuple[Goal, ...] = get_args(Goal)
WISHES: tuple[Wish, ...] = get_args(Wish)


@dataclass(frozen=True)
class Situation:
    """Rows by kind, and where they are to be learned from.

    Attributes:
        examples: prompts with an answer; ``pairs`` better and worse answers; ``labels`` answers judged one by one;
            ``prompts`` without an answer to learn from.
        distinct: prompts among those to judge answers by, each counted once; None takes every row for one.
        verifiable: whether a program can tell a right answer (a verifier is set).
        longest: tokens of the longest row; ``mean`` of all.
        answer_tokens: of the longest answer.
        wish: what matters beside the goal: the best result, many quick trials, a single stage, or all weights.
    """

    shape: ModelShape
    device: Device
    examples: int = 0
    pairs: int = 0
    labels: int = 0
    prompts: int = 0
    distinct: int | None = None
    verifiable: bool = False
    longest: int = 512
    mean: float = 256.0
    answer_tokens: int = 128
    goal: Goal = "chat"
    wish: Wish = "quality"

    @property
    def billions(self) -> float:
        """Parameters, 10^9."""
        return self.shape.parameters / 1e9

    @property
    def precision(self) -> Literal["bf16", "fp16", "fp32"]:
        return best_precision(self.device)

    @property
    def rl_prompts(self) -> int:
        """Prompts whose answers a program can judge: those of their own, else the examples'."""
        if not self.verifiable:
            return 0
        return self.distinct if self.distinct is not None else self.prompts or self.examples


@dataclass(frozen=True)
class Choice:
    """One decision.

    Attributes:
        what: of which step and option.
        value: as the recipe has it.
        why: in the words of this situation.
        source: the document whose rule it is.
    """

    what: str
    value: str
    why: str
    source: str
