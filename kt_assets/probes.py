"""Held-out prompts that a model is asked in passing, to see that it stops and answers as its parent did."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from kt_resources.trainers.spec import Message


def probe_prompts(rows: Sequence[Mapping[str, Any]], count: int, seed: int = 0) -> tuple[tuple[Message, ...], ...]:
    """The prompts of ``count`` rows, drawn with a seed, so that every family has its chance."""
    chosen = random.Random(seed).sample(list(rows), min(count, len(rows)))
    return tuple(tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["prompt"]) for row in chosen)
