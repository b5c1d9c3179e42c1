"""What each contestant is told: a JSON file, read by scripts that share no library but the standard one."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Objective = Literal["sft", "dpo", "grpo"]


@dataclass(frozen=True)
class Job:
    """One contestant's training: everything that is equal among them, and where it sits.

    Attributes:
        model_dir: the checkpoint all start from.
        rows_file: Parquet rows; tokenized rows, pairs or prompts.
        bf16: whether to train in bfloat16, where this CPU gains from it.
        table_dir, place, num_places: where the contestants take turns.
    """

    objective: Objective
    model_dir: str
    rows_file: str
    out_dir: str
    steps: int
    batch: int
    learning_rate: float
    bf16: bool
    table_dir: str
    place: int
    num_places: int
    rank: int = 16
    alpha: int = 32
    warmup_steps: int = 1
    beta: float = 0.1
    num_generations: int = 8
    max_completion_length: int = 64
    seed: int = 0

    def write(self, file: Path) -> Path:
        """Write the job; its contestant reads it with :func:`read_job`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=2))
        return file


def read_job(file: str) -> Job:
    """The job in ``file``."""
    return Job(**json.loads(Path(file).read_text()))
