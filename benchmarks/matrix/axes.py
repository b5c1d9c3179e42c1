"""What a cell is asked: by how much each objective must improve, and the options that a tiny training takes.

The amounts were fixed before the cells were run; rates, steps and batches were not. An amount is far above what a
figure moves when nothing is learned, and below what a sound training of :data:`STEPS` steps reaches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

STEPS = 40
LEARNING_RATE = 1e-2


@dataclass(frozen=True)
class Aim:
    """By how much the held-out figure of an objective must improve, and what the objective takes on tiny rows.

    Attributes:
        steps: optimizer steps.
        batch: rows of a step; completions of the online objectives.
        rate: what the update strategy's learning rate is multiplied with; sampled rows bear less.
    """

    amount: float
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = STEPS
    batch: int = 8
    rate: float = 1.0


SAMPLED = Aim(
    0.2,
    {"num_generations": 4, "max_completion_length": 6, "held_out_samples": 8},
    steps=60,
    batch=32,
    rate=0.25,
)
"""What each online objective is asked; held-out prompts are answered by sampling, as the policy is trained."""

AIMS: Mapping[str, Aim] = MappingProxyType(
    {
        "sft": Aim(0.5),
        "distillation": Aim(0.25),
        "cross_distillation": Aim(0.25),
        "dpo": Aim(0.05),
        "ipo": Aim(2.0),
        "robust_dpo": Aim(0.05),
        "kto": Aim(0.05),
        "orpo": Aim(0.5),
        "cpo": Aim(0.5),
        "simpo": Aim(0.1),
        "reward_model": Aim(0.3),
        "rloo": SAMPLED,
        "grpo": SAMPLED,
        "grpo_length": SAMPLED,
        "dapo": SAMPLED,
        "reinforce_pp": SAMPLED,
    }
)
"""The amounts in the figure's own unit: held-out loss, or reward between 0 and 1."""

LEARNING_RATES: Mapping[str, float] = MappingProxyType(
    {
        "full": 1e-3,
        "lora_plus": 5e-4,
        "rslora": 2.5e-3,
        "pissa": 3e-3,
        "galore": 3e-3,
        "spectrum": 3e-3,
        "vera": 0.1,
        "adalora": 0.02,
        "ia3": 0.3,
        "prompt_tuning": 0.03,
        "prefix_tuning": 0.1,
    }
)
"""Where an update strategy needs another rate than :data:`LEARNING_RATE`: rsLoRA scales by √r = 4 times as much, LoRA+
teaches B at 16 times the rate, PiSSA begins with the largest singular values; few numbers learn at high rates."""

LONGER: Mapping[str, int] = MappingProxyType({"prompt_tuning": 4, "prefix_tuning": 2})
"""How many times an objective's steps a soft prompt takes: it reaches the answer through attention alone."""
