"""One cell: train, look at the figure, reload, compare the merged model with the adapter."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from benchmarks.matrix.axes import AIMS, LEARNING_RATE, LEARNING_RATES, LONGER
from benchmarks.matrix.pretraining import pretrain, trained
from kt_resources.compute.program import Progress
from kt_resources.errors import KtError
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.tiny_rows import sums, write_labels, write_pairs, write_prompts, write_tokenized

TOLERANCE = 1e-3
"""Largest difference of a logit between the trained model and the saved one, and between adapter and merged model."""

NUM_ROWS = 320
"""Rows to learn from: as many as the steps of most objectives read once."""

SCORER = "def score(completion, row):\n    return float(completion[-1:].isdigit())\n"
"""The reward of the online objectives: whatever is asked, end with a digit, as some of the ways to answer do."""

Status = Literal["learned", "learned too little", "differs when reloaded", "differs when merged", "refused", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        start, final: the objective's held-out figure before and after.
        reload_difference: largest logit difference of trained and saved model; None where it was trained in 4 bits
            or an earlier step was kept.
        merge_difference: largest logit difference of adapter and merged model; None where there is no adapter.
        reason: why it was refused, or what went wrong.
    """

    objective: str
    update: str
    status: Status
    start: float | None = None
    final: float | None = None
    reload_difference: float | None = None
    merge_difference: float | None = None
    reason: str = ""
    seconds: float = 0.0


def prepare(folder: Path) -> None:
    """The pretrained model, a teacher and rows of every kind, once for all cells."""
    model = pretrain(folder / "pretraining")
    for split, rows in {"train": sums(NUM_ROWS), "validation": sums(16, start=900)}.items():
        write_tokenized(rows, model, folder / "tokenized" / f"{split}.parquet")
        write_pairs(rows, folder / "preference_pairs" / f"{split}.parquet")
        write_labels(rows, folder / "labels" / f"{split}.parquet")
        write_prompts(rows, folder / "prompts" / f"{split}.parquet")
    (folder / "rewards.py").write_text(SCORER)
    shutil.copytree(model, folder / "model")
    trained(_spec("sft", "full", folder, folder / "teaching"))
    shutil.copytree(folder / "teaching" / "out" / "model", folder / "teacher")


def try_cell(objective: str, update: str, prepared: Path, folder: Path) -> Outcome:
    """Train the cell on what :func:`prepare` made; its artifact stands in ``folder``."""
    from kt_resources.trainers.training import train

    started = time.perf_counter()
    try:
        spec = _spec(objective, update, prepared, folder)
    except ValidationError as error:
        return Outcome(objective, update, "refused", reason=error.errors()[0]["msg"].removeprefix("Value error, "))
    spec.out_dir.mkdir(parents=True)
    try:
        facts = train(spec, Progress(spec.out_dir))["facts"]
    except KtError as error:
        return Outcome(objective, update, "refused", reason=error.what, seconds=time.perf_counter() - started)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Outcome(objective, update, "failed", reason=reason, seconds=time.perf_counter() - started)
    return _judged(objective, update, facts, time.perf_counter() - started)


def _spec(objective: str, update: str, prepared: Path, folder: Path) -> TrainSpec:
    aim = AIMS[objective]
    kind = OBJECTIVES[objective](**aim.options)
    fields: dict[str, Any] = {
        "out_dir": folder / "out",
        "scratch_dir": folder / "scratch",
        "model_dir": prepared / "model",
        "train_file": prepared / kind.rows / "train.parquet",
        "validation_file": prepared / kind.rows / "validation.parquet",
        "objective": {"type": objective, **aim.options},
        "update": {"type": update},
        "optimization": {
            "micro_batch_size": aim.batch,
            "max_steps": aim.steps * LONGER.get(update, 1),
            "num_evals": 1,
            "learning_rate": aim.rate * LEARNING_RATES.get(update, LEARNING_RATE),
        },
        "companions": dict.fromkeys(kind.companions, prepared / "teacher"),
        "sample_tokens": 6,
    }
    if kind.needs_verifier:
        fields["verifier"] = {"type": "python", "path": f"{prepared / 'rewards.py'}:score"}
    return TrainSpec.model_validate(fields)


def _judged(objective: str, update: str, facts: dict[str, Any], seconds: float) -> Outcome:
    kind = OBJECTIVES[objective]
    start, final = (facts[f"{when}_{kind.metric}"] for when in ("start", "final"))
    gained = (final - start) if kind.greater_is_better else (start - final)
    reloaded, merged = facts["trained_saved_max_logit_diff"], facts["adapter_merged_max_logit_diff"]
    status: Status = "learned"
    if not gained >= AIMS[objective].amount:
        status = "learned too little"
    elif reloaded is not None and not reloaded <= TOLERANCE:
        status = "differs when reloaded"
    elif merged is not None and not merged <= TOLERANCE:
        status = "differs when merged"
    return Outcome(objective, update, status, start, final, reloaded, merged, seconds=seconds)
