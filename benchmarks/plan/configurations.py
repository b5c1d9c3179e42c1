"""What is measured: objective × update × length × batch of the 135M model, a few steps each.

``fit`` configurations were looked at while the model was made; ``test`` ones were run afterwards.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

STEPS = 4
"""Optimizer steps of each: AdamW's moments count from the second one on, and what is done once weighs less."""

ANSWER_SHARE = 0.25
"""Share of a row's tokens that its answer has."""


@dataclass(frozen=True)
class Configuration:
    """One training; ``length`` is every row's number of tokens, prompt and answer together.

    Attributes:
        role: whether its measurement shaped the model's constants, or only tests them.
        options: of the objective; ``further`` of the update, ``optimization`` of the loop.
    """

    objective: str
    update: str
    length: int
    batch: int
    precision: Literal["fp32", "bf16"] = "fp32"
    role: Literal["fit", "test"] = "test"
    options: dict[str, Any] = field(default_factory=dict)
    further: dict[str, Any] = field(default_factory=dict)
    optimization: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A folder's name that tells all of it."""
        told = [*self.options.items(), *self.further.items(), *self.optimization.items()]
        parts = [self.objective, self.update, f"{self.batch}x{self.length}", self.precision]
        return "-".join([*parts, *(f"{key}={value}" for key, value in told)])


def grpo(group: int, completion: int) -> dict[str, Any]:
    """Options of a GRPO step of one group."""
    return {"num_generations": group, "max_completion_length": completion}


CHECKPOINTED = {"gradient_checkpointing": True}

LOOKED_AT = (
    Configuration("sft", "lora", 128, 8),
    Configuration("sft", "full", 128, 4),
    Configuration("dpo", "lora", 128, 2),
    Configuration("orpo", "lora", 128, 2),
    Configuration("sft", "lora", 128, 8, "bf16"),
    Configuration("sft", "qlora", 64, 4),
    Configuration("sft", "dora", 64, 4),
    Configuration("grpo", "lora", 32, 4, options=grpo(4, 16)),
    Configuration("sft", "lora", 64, 4),
    Configuration("dpo", "full", 64, 2),
    Configuration("sft", "lora", 512, 2),
    Configuration("distillation", "lora", 128, 2),
    Configuration("sft", "full", 128, 4, "bf16"),
    Configuration("simpo", "lora", 64, 4),
    Configuration("sft", "lora", 512, 2, optimization=CHECKPOINTED),
    Configuration("orpo", "full", 64, 2),
    Configuration("grpo", "full", 32, 4, options=grpo(4, 16)),
    Configuration("sft", "qlora", 128, 8, "bf16"),
    Configuration("cpo", "dora", 64, 2),
    Configuration("dpo", "lora", 128, 4, "bf16"),
    Configuration("sft", "lora", 128, 8, further={"r": 64}),
    Configuration("sft", "lora", 128, 8, further={"target_modules": "attention"}),
    Configuration("sft", "full", 64, 16, optimization=CHECKPOINTED),
    Configuration("robust_dpo", "qlora", 64, 4),
    Configuration("ipo", "dora", 128, 2),
    Configuration("sft", "rslora", 128, 16),
    Configuration("sft", "lora_plus", 256, 4),
    Configuration("sft", "qdora", 128, 4),
    Configuration("simpo", "dora", 128, 4, "bf16"),
    Configuration("grpo", "lora", 64, 8, options=grpo(8, 32)),
    Configuration("distillation", "full", 64, 4, "bf16"),
    Configuration("sft", "lora", 256, 8),
    Configuration("sft", "qlora", 192, 4, optimization=CHECKPOINTED),
    Configuration("sft", "vera", 128, 8),
    Configuration("sft", "pissa", 192, 4),
    Configuration("sft", "galore", 96, 4),
    Configuration("reinforce_pp", "dora", 48, 4, options=grpo(4, 16)),
)
"""Their measurements shaped the model: its terms, and its constants."""

RUN_AFTERWARDS = (
    Configuration("sft", "lora", 96, 8, "bf16"),
    Configuration("dpo", "dora", 96, 2),
    Configuration("orpo", "qlora", 64, 4, "bf16"),
    Configuration("sft", "full", 96, 8),
    Configuration("ipo", "full", 96, 2, "bf16"),
    Configuration("grpo", "lora", 48, 8, "bf16", options=grpo(4, 24)),
    Configuration("simpo", "lora", 192, 2),
    Configuration("sft", "spectrum", 128, 4),
    Configuration("sft", "adalora", 64, 8),
    Configuration("reward_model", "lora", 128, 4),
    Configuration("cpo", "full", 96, 4),
    Configuration("dpo", "vera", 96, 2),
    Configuration("sft", "ia3", 128, 8),
    Configuration("sft", "pissa", 96, 8, "bf16"),
    Configuration("sft", "galore", 64, 8, "bf16"),
    Configuration("sft", "relora", 128, 4),
    Configuration("sft", "prefix_tuning", 128, 8),
)
"""They shaped nothing; DoRA's norms were counted anew after ``dpo-dora`` had run, for another row's sake."""

CONFIGURATIONS = (*(replace(one, role="fit") for one in LOOKED_AT), *RUN_AFTERWARDS)
