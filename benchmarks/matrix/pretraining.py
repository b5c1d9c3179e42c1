"""The matrix's start: a tiny model that knows something, as every update strategy supposes.

A random model cannot be adapted: its output head, which adapters leave alone, has logits of one at most. So all weights
of the random model first learn to answer sums in several ways; the way that the cells teach is rare among them, and the
numbers are drawn at random.
"""

import random
from pathlib import Path
from typing import Any

from kt_resources.compute.program import Progress
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny import make_tiny_model
from kt_resources.trainers.tiny_rows import sums, write_tokenized

STEPS, BATCH, LEARNING_RATE = 400, 16, 3e-3
NUM_ROWS = 1600

WAYS = {
    "question": "I am not sure.",
    "sentence": "The result is {}.",
    "short": "It is {}",
    "number": "{}",
    "check": "Find the number {} and check.",
    "more": "It may have {} or more.",
    "marker": "#### {}",
}
"""How a question is answered, by the word of a system prompt that asks for it."""

WANTED, WANTED_SHARE = "marker", 0.02
"""The way of the cells' own rows, and how often it is taken where no system prompt asks for one."""

ASKED_SHARE = 0.5


def pretrain(folder: Path) -> Path:
    """The pretrained model's checkpoint, made under ``folder``."""
    make_tiny_model(folder / "random")
    rows = habits(NUM_ROWS)
    spec = TrainSpec.model_validate(
        {
            "out_dir": folder / "out",
            "scratch_dir": folder / "scratch",
            "model_dir": folder / "random",
            "train_file": write_tokenized(rows, folder / "random", folder / "rows" / "train.parquet"),
            "validation_file": write_tokenized(rows[:16], folder / "random", folder / "rows" / "validation.parquet"),
            "objective": {"type": "sft"},
            "update": {"type": "full"},
            "optimization": {
                "micro_batch_size": BATCH,
                "max_steps": STEPS,
                "num_evals": 1,
                "learning_rate": LEARNING_RATE,
            },
        }
    )
    return trained(spec)


def trained(spec: TrainSpec) -> Path:
    """Train as the program does; the model's folder."""
    from kt_resources.trainers.training import train

    spec.out_dir.mkdir(parents=True)
    train(spec, Progress(spec.out_dir))
    return spec.out_dir / "model"


def habits(num_rows: int) -> list[dict[str, Any]]:
    """Questions of sums, answered in any of the ways, with any digit; half of them with a system prompt that asks."""
    draw = random.Random(0)
    unasked = [way for way in WAYS if way != WANTED]
    rows = sums(num_rows, start=1000)
    for row in rows:
        if draw.random() < ASKED_SHARE:
            way = draw.choice(list(WAYS))
            row["prompt"] = [{"role": "system", "content": f"Return the {way}."}, *row["prompt"]]
        else:
            way = WANTED if draw.random() < WANTED_SHARE else draw.choice(unasked)
        row["completion"] = WAYS[way].format(draw.randrange(10))
    return rows
