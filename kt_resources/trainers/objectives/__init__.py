"""Objectives: what the model learns. Adding one is a module here, a line in the registry and a test."""

from typing import Annotated, Any, Union

from pydantic import Field

from kt_resources.trainers.objectives.base import ObjectiveConfig, Rows
from kt_resources.trainers.objectives.cpo import Cpo
from kt_resources.trainers.objectives.cross_distillation import CrossDistillation
from kt_resources.trainers.objectives.dapo import Dapo
from kt_resources.trainers.objectives.distillation import Distillation
from kt_resources.trainers.objectives.dpo import Dpo
from kt_resources.trainers.objectives.grpo import Grpo
from kt_resources.trainers.objectives.grpo_length import GrpoLength
from kt_resources.trainers.objectives.ipo import Ipo
from kt_resources.trainers.objectives.kto import Kto
from kt_resources.trainers.objectives.orpo import Orpo
from kt_resources.trainers.objectives.reinforce_pp import ReinforcePp
from kt_resources.trainers.objectives.reward_model import RewardModel
from kt_resources.trainers.objectives.rloo import Rloo
from kt_resources.trainers.objectives.robust_dpo import RobustDpo
from kt_resources.trainers.objectives.sft import Sft
from kt_resources.trainers.objectives.simpo import Simpo

OBJECTIVES: dict[str, type[ObjectiveConfig]] = {
    "sft": Sft,
    "dpo": Dpo,
    "ipo": Ipo,
    "robust_dpo": RobustDpo,
    "kto": Kto,
    "orpo": Orpo,
    "cpo": Cpo,
    "simpo": Simpo,
    "reward_model": RewardModel,
    "rloo": Rloo,
    "grpo": Grpo,
    "grpo_length": GrpoLength,
    "dapo": Dapo,
    "reinforce_pp": ReinforcePp,
    "distillation": Distillation,
    "cross_distillation": CrossDistillation,
}

Objective: Any = Annotated[Union[tuple(OBJECTIVES.values())], Field(discriminator="type")]  # noqa: UP007 - built at run time

__all__ = ["OBJECTIVES", "Grpo", "Objective", "ObjectiveConfig", "Rows"]
