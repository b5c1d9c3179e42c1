"""What every update strategy is: how the weights change, whatever is learned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from kt_resources.compute.needs import Precision
from kt_resources.strict import Strict

if TYPE_CHECKING:
    import peft
    import torch
    from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

    from kt_resources.trainers.spec import Optimization

OptimizerClass = Callable[..., "torch.optim.Optimizer"]


class UpdateStrategy(Strict):
    """Base of the update strategies; a new one overrides what differs.

    Attributes:
        has_adapter: whether training leaves an adapter beside the merged model.
        mergeable: whether the adapter can be folded into the model; where not, a step leaves the adapter alone.
        learning_rate_scale: the vetted rate over LoRA's, where the objective's default is taken.
        shardable: whether it can work on weights of which every device holds a part (FSDP).
    """

    type: str
    has_adapter: ClassVar[bool] = True
    mergeable: ClassVar[bool] = True
    learning_rate_scale: ClassVar[float] = 1.0
    shardable: ClassVar[bool] = True

    @model_validator(mode="after")
    def _can_work(self) -> "UpdateStrategy":
        if (problem := self.problem()) is not None:
            raise ValueError(problem)
        return self

    def problem(self) -> str | None:
        """Why this strategy cannot work as set, or on this machine; asked when the recipe loads. Imports no torch."""
        return None

    def problem_with(self, optimization: "Optimization", sharded: bool) -> str | None:
        """Why this strategy cannot work with the step's other settings; asked when the recipe loads.

        ``sharded``: every device holds a part of the weights (FSDP).
        """
        if sharded and not self.shardable:
            return f"{self.type} needs whole matrices on every device and cannot train under sharding: fsdp"
        return None

    def peft_config(self, model: "PreTrainedModel", total_steps: int) -> "peft.PeftConfig | None":
        """The adapter that PEFT puts on the model; None trains the model's own weights.

        ``model`` is the loaded start model and ``total_steps`` the optimizer steps of the run.
        """
        return None

    def prepare(self, model: "PreTrainedModel") -> None:
        """Change the start model as soon as it is loaded, for example freeze some of its weights."""

    def attach(self, model: "torch.nn.Module") -> None:
        """Complete the model once its trainer has put the adapter on it, before any checkpoint is loaded."""

    def optimizer(
        self, model: "torch.nn.Module", arguments: "TrainingArguments", kind: OptimizerClass, options: dict[str, Any]
    ) -> "torch.optim.Optimizer | None":
        """An optimizer of the strategy's own, or None for the factory's AdamW.

        ``kind`` and ``options`` are the optimizer class and its keyword arguments that the factory would take.
        """
        return None

    def remember(self, model: "torch.nn.Module", optimizer: "torch.optim.Optimizer") -> None:
        """Let the optimizer's checkpoints hold what else the strategy must know after a crash."""

    def rate_factor(self, step: int, total_steps: int) -> float:
        """What the schedule's learning rate is multiplied by for optimizer step ``step``, counted from 0."""
        return 1.0

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

    def saved_adapter(self, kept: Path) -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
        """Weights and PEFT config of the adapter on the start model, from the folder of the kept weights."""
        from safetensors.torch import load_file

        return load_file(kept / "adapter_model.safetensors"), json.loads((kept / "adapter_config.json").read_text())
