"""Checkpoints: which one to go on from after a crash."""

import json
import re
import shutil
from pathlib import Path

NAME = re.compile(r"^checkpoint-(\d+)$")
PARTS = ("optimizer.pt", "scheduler.pt", "trainer_state.json")
WEIGHTS = ("adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json")


def newest_complete(folder: Path) -> Path | None:
    """The checkpoint of the highest step that was written to its end; None where there is none.

    ``trainer_state.json`` is written last: a checkpoint without it, or with half of it, was cut short.
    """
    found = {int(match[1]): path for path in _folders(folder) if (match := NAME.match(path.name))}
    return next((found[step] for step in sorted(found, reverse=True) if is_complete(found[step], step)), None)


def is_complete(checkpoint: Path, step: int) -> bool:
    """Whether weights, optimizer, schedule and a readable state of ``step`` stand in ``checkpoint``."""
    if not all((checkpoint / part).is_file() for part in PARTS):
        return False
    if not any((checkpoint / weights).is_file() for weights in WEIGHTS):
        return False
    if not list(checkpoint.glob("rng_state*.pth")):
        return False
    try:
        return json.loads((checkpoint / "trainer_state.json").read_text())["global_step"] == step
    except (ValueError, KeyError):
        return False


def remove_after(folder: Path, kept: Path | None) -> None:
    """Delete what a crash left behind: the checkpoints of later steps than ``kept``'s, all of them for None."""
    last = int(NAME.match(kept.name)[1]) if kept else -1  # type: ignore[index]
    for path in _folders(folder):
        match = NAME.match(path.name)
        if match and int(match[1]) > last:
            shutil.rmtree(path)


def forget(scratch: Path) -> None:
    """Delete all that a training has left in its scratch folder to go on with."""
    for folder in ("checkpoints", "kept"):
        shutil.rmtree(scratch / folder, ignore_errors=True)
    for file in (scratch / "start.json", *scratch.glob("drawn-*.jsonl")):
        file.unlink(missing_ok=True)


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
