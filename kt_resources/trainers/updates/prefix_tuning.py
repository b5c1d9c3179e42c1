"""Prefix tuning: trained keys and values before those of the tokens, in every layer (arXiv:2101.00190)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.updates.soft import SoftPrompt

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel

    from kt_resources.trainers.spec import Optimization


class PrefixTuning(SoftPrompt):
    """``2 · layers · num_virtual_tokens`` vectors of keys' and values' width; PEFT's examples take rates near 1e-2."""

    type: Literal["prefix_tuning"] = "prefix_tuning"
    learning_rate_scale: ClassVar[float] = 50.0
    num_virtual_tokens: int = Field(default=20, ge=1, le=1024)

    def problem_with(self, optimization: "Optimization", sharded: bool) -> str | None:
        """Recomputed activations cannot be had: the prefix is a cache, which checkpointing switches off."""
        if optimization.gradient_checkpointing:
            return "prefix_tuning cannot train with gradient_checkpointing, which switches off the cache it lives in"
        return super().problem_with(optimization, sharded)

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The prefix that PEFT puts before keys and values."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=self.num_virtual_tokens)
