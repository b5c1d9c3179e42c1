"""What every update strategy is: how the weights change, whatever is learned."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import model_validator

from kt_resources.compute.needs import Precision
from kt_resources.strict import Strict

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

OptimizerClass = Callable[..., "torch.optim.Optimizer"]
TargetModules = Literal["attention", "mlp", "all-linear"] | tuple[str, ...]

MODULE_GROUPS: dict[str, list[str]] = {
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "mlp": ["gate_proj", "up_proj", "down_proj"],
}
"""Names of the linear layers of the Llama, Qwen, Mistral and Gemma families."""


class UpdateStrategy(Strict):
    """Base of the update strategies; a new one overrides what differs.

    Attributes:
        has_adapter: whether training leaves an adapter beside the merged model.
    """

    type: str
    has_adapter: ClassVar[bool] = True

    @model_validator(mode="after")
    def _can_work(self) -> "UpdateStrategy":
        if (problem := self.problem()) is not None:
            raise ValueError(problem)
        return self

    def problem(self) -> str | None:
        """Why this strategy cannot work as set, or on this machine; asked when the recipe loads. Imports no torch."""
        return None

    def peft_config(
        self, model: "PreTrainedModel | None" = None, total_steps: int | None = None
    ) -> "peft.PeftConfig | None":
        """The adapter that PEFT puts on the model; None trains the model's own weights.

        ``model`` is the loaded start model and ``total_steps`` the optimizer steps of the run, where they are known.
        """
        return None

    def prepare(self, model: "PreTrainedModel") -> None:
        """Change the loaded start model before its trainer is built, for example freeze some of its weights."""

    def optimizer(
        self, model: "torch.nn.Module", arguments: "TrainingArguments", kind: OptimizerClass, options: dict[str, Any]
    ) -> "torch.optim.Optimizer | None":
        """An optimizer of the strategy's own, or None for the factory's AdamW.

        ``kind`` and ``options`` are the optimizer class and its keyword arguments that the factory would take.
        """
        return None

    def callbacks(self) -> list["TrainerCallback"]:
        """Callbacks of the strategy's own, new for each run."""
        return []

    def load_arguments(self, precision: Precision) -> dict[str, Any]:
        """Further arguments of ``from_pretrained``, for example a quantization of the frozen weights."""
        return {}

    def training_arguments(self) -> dict[str, Any]:
        """Further fields of transformers' ``TrainingArguments``, for example another optimizer."""
        return {}

    def trainable_dtype(self, name: str, precision: Precision) -> "torch.dtype":
        """The type in which the trainable tensor ``name`` is kept.

        bf16 throughout where the precision is bf16 (a float32 copy in the optimizer takes the updates); float32
        for fp16, as loss scaling needs it.
        """
        import torch

        return torch.bfloat16 if precision == "bf16" else torch.float32


def peft_targets(target_modules: TargetModules) -> str | list[str]:
    """``target_modules`` of a recipe as PEFT takes it.

    >>> peft_targets("attention")
    ['q_proj', 'k_proj', 'v_proj', 'o_proj']
    """
    if isinstance(target_modules, str):
        return MODULE_GROUPS.get(target_modules, target_modules)
    return list(target_modules)
