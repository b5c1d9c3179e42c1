"""Prompt tuning: trained embeddings before the first token, ``[P; E(x)]`` (Lester et al. 2021, arXiv:2104.08691)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kt_resources.trainers.updates.soft import SoftPrompt

if TYPE_CHECKING:
    import peft
    from transformers import PreTrainedModel


class PromptTuning(SoftPrompt):
    """A few embeddings, begun with those of random tokens as the paper advises; PEFT's examples learn at 1e-2."""

    type: Literal["prompt_tuning"] = "prompt_tuning"
    learning_rate_scale: ClassVar[float] = 50.0
    num_virtual_tokens: int = Field(default=8, ge=1, le=1024)

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig":
        """The prompt that PEFT puts before the tokens."""
        from peft import PromptTuningConfig

        return PromptTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=self.num_virtual_tokens, prompt_tuning_init="SAMPLE_VOCAB"
        )
