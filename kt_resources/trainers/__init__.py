"""Training: one program, two independent axes (objective, update strategy). Imports no torch."""

from kt_resources.trainers.protocol import Trainer
from kt_resources.trainers.spec import Message, Optimization, SamplePrompt, TrainSpec

__all__ = ["Message", "Optimization", "SamplePrompt", "TrainSpec", "Trainer"]
