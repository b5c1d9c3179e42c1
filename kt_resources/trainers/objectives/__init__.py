"""Objectives: what the model learns. Adding one is a module here, a line in the registry and a test."""

from typing import Annotated, Any, Union

from pydantic import Field

from kt_resources.trainers.objectives.base import ObjectiveConfig, Rows
from kt_resources.trainers.objectives.dpo import Dpo
from kt_resources.trainers.objectives.grpo import Grpo
from kt_resources.trainers.objectives.sft import Sft

OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "sft": Sft,
    "dpo": Dpo,
    "grpo": Grpo,
}

Objective: Any = Annotated[Union[tuple(OBJECTIVES.values())], Field(discriminator="type")]  # noqa: UP007 - built at run time

__all__ = ["OBJECTIVES", "Dpo", "Grpo", "Objective", "ObjectiveConfig", "Rows", "Sft"]
