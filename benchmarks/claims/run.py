"""Run one cell: train in a process of its own, ask the held-out questions, keep the figures."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims.cells import (
    BATCH,
    CELLS,
    NUM_EVALS,
    NUM_ITEMS,
    NUM_TRAIN,
    NUM_VALIDATION,
    STEPS,
    Cell,
)
from kt_resources.compute.environment import RUNTIME
from kt_resources.compute.needs import Precision
from kt_resources.compute.speed.calibration import host_id
from kt_resources.generators.gguf_model import thread_count

Result = dict[str, Any]

PRECISION: Precision = "fp32"
"""What every CPU computes, so that cells go on from one machine to another: only some CPUs have bfloat16."""


def prepare(work: Path, base: Path) -> Path:
    """The rows of all cells under ``work/rows``."""
    from benchmarks.trainers.rows import SEED, with_wrong_answers, worked_rows, write
    from kt_resources.trainers.tiny_rows import write_tokenized

    folder = work / "rows"
    if (folder / "items.parquet").is_file():
        return folder
    rows = worked_rows(NUM_TRAIN + NUM_VALIDATION)
    for split, part in {"train": rows[:NUM_TRAIN], "validation": rows[NUM_TRAIN:]}.items():
        write_tokenized(part, base, folder / "tokenized" / f"{split}.parquet")
        write(with_wrong_answers(part), folder / "preference_pairs" / f"{split}.parquet")
    learned = {str(row["prompt"]) for row in rows}
    fresh = [row for row in worked_rows(3 * NUM_ITEMS, SEED + 6) if str(row["prompt"]) not in learned]
    write(fresh[:NUM_ITEMS], folder / "items.parquet")
    return folder


def run_cell(cell: Cell, seed: int, work: Path, base: Path, steps: int = STEPS) -> Result:
    """The cell's figures; a start that has not run yet is run first.

    Raises:
        RuntimeError: the training program failed; the end of its output is told.
    """
    file = result_file(work, cell.name, seed)
    if file.is_file():
        return json.loads(file.read_text())
    start = _model_of(cell.start, seed, work, base, steps) if cell.start else base
    folder = file.parent / str(seed)
    rows = prepare(work, base)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was cut short
    if cell.drop is None:
        result = _train(cell, seed, folder, start, rows, steps)
    else:
        drop_and_rescale(base, start, folder / "out" / "model", cell.drop, seed)
        result = {}
    items = _items(rows / "items.parquet")
    result["accuracy"] = accuracy(folder / "out" / "model", items, folder)
    result |= {
        "steps": steps,
        "threads": thread_count(),
        "precision": PRECISION,
        "host": host_id(),
    }
    _keep_what_others_need(cell, folder)
    file.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _model_of(name: str, seed: int, work: Path, base: Path, steps: int) -> Path:
    """The model of the cell ``name``; trained again where its figures came from elsewhere and its model did not.

    What was made of the model that is trained again goes with its figures: it would be compared with another one.
    """
    model = result_file(work, name, seed).parent / str(seed) / "out" / "model"
    if not model.is_dir():
        for stale in (name, *(cell.name for cell in CELLS if cell.start == name)):
            result_file(work, stale, seed).unlink(missing_ok=True)
    run_cell(next(one for one in CELLS if one.name == name), seed, work, base, steps)
    return model


def result_file(work: Path, cell: str, seed: int | str) -> Path:
    """Where a cell's figures lie."""
    return work / "cells" / cell / f"{seed}.json"


def _train(cell: Cell, seed: int, folder: Path, start: Path, rows: Path, steps: int) -> Result:
    spec = {
        "out_dir": str(folder / "out"),
        "scratch_dir": str(folder / "scratch"),
        "model_dir": str(start),
        "train_file": str(rows / cell.rows / "train.parquet"),
        "validation_file": str(rows / cell.rows / "validation.parquet"),
        "objective": dict(cell.objective),
        "update": dict(cell.update),
        "precision": PRECISION,
        "optimization": {
            "learning_rate": cell.learning_rate,
            "max_steps": steps,
            "micro_batch_size": BATCH,
            "num_evals": NUM_EVALS,
            "checkpoint_steps": steps,
            "seed": seed,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "spec.json"
    file.write_text(json.dumps(spec, indent=2))
    command = [sys.executable, "-m", "kt_resources.trainers", "--spec", str(file)]
    with (folder / "log.txt").open("w") as log:
        ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=RUNTIME | os.environ)
    if ended.returncode != 0:
        raise RuntimeError((folder / "log.txt").read_text()[-1500:])
    out = folder / "out"
    told = json.loads((out / "run" / "result.json").read_text())
    curve = [json.loads(line) for line in (out / "run" / "curve.jsonl").read_text().splitlines()]
    train_s = processor_seconds(told)
    return {
        "trainable_share": trainable_share(start, out, folder / "scratch" / "kept"),
        "peak_memory_gb": told.get("peaks_gb", {}).get("train", told["peak_memory_gb"]),
        "tokens": told["tokens"],
        "tokens_per_s": round(told["tokens"] / train_s, 1),
        "train_s": round(train_s, 2),
        "losses": {str(row["step"]): row["eval_loss"] for row in curve if "eval_loss" in row},
    }


def processor_seconds(told: Mapping[str, Any]) -> float:
    """Of training alone: what it costs on a machine however busy. The program tells them with the evaluations'.

    >>> processor_seconds({"cpu_seconds": {"train": 120.0}, "seconds": {"train": 150.0, "evaluate": 50.0}})
    90.0
    """
    wall = told["seconds"]
    return float(told["cpu_seconds"]["train"] * wall["train"] / (wall["train"] + wall.get("evaluate", 0.0)))


FROZEN_IN_ADAPTERS = ("vera_A", "vera_B")
"""Parts of tensor names that an adapter's file holds and nobody trains."""


def trainable_share(start: Path, out: Path, kept: Path) -> float:
    """Trained parameters over the start model's: of the adapter, or of the tensors that changed.

    ``kept`` has the adapter as it was trained; the artifact's may have been converted (PiSSA's is of twice the rank).
    """
    from kt_resources.trainers.saving import read_tensor, tensors

    before = tensors(start)
    total = sum(read_tensor(file, name).numel() for name, file in before.items())
    if (out / "adapter").is_dir():
        adapter = {name: file for name, file in tensors(kept).items() if file.name == "adapter_model.safetensors"}
        trained = [name for name in adapter if not any(part in name for part in FROZEN_IN_ADAPTERS)]
        return sum(read_tensor(adapter[name], name).numel() for name in trained) / total
    after = tensors(out / "model")
    moved = [name for name, file in before.items() if not read_tensor(file, name).equal(read_tensor(after[name], name))]
    return sum(read_tensor(before[name], name).numel() for name in moved) / total


def drop_and_rescale(base: Path, trained: Path, out: Path, drop: float, seed: int) -> None:
    """DARE (arXiv:2311.03099): each learned difference is dropped with probability p, the rest divided by 1 − p."""
    import torch

    from kt_resources.trainers.saving import read_tensor, save_model, tensors

    generator = torch.Generator().manual_seed(seed)
    stored = tensors(trained)
    weights = {}
    for name, file in sorted(tensors(base).items()):
        old = read_tensor(file, name).float()
        learned = read_tensor(stored[name], name).float() - old
        kept = torch.rand(learned.shape, generator=generator) >= drop
        weights[name] = old + learned * kept / (1 - drop)
    save_model(weights, trained, out)


def accuracy(checkpoint: Path, items: Sequence[dict[str, Any]], scratch: Path) -> float:
    """Share of the items answered right, greedy, by llama.cpp on an F16 export."""
    from kt_resources.generators.config import Sampling
    from kt_resources.generators.llama_cpp import LlamaCppEngine
    from kt_resources.quantizers.export import export_gguf
    from kt_resources.verifiers import build_verifier
    from kt_resources.verifiers.reasoning_gym import ReasoningGym

    verify = build_verifier(ReasoningGym(type="reasoning_gym", answer_marker="####"))
    file = scratch / "model.gguf"
    export_gguf(checkpoint, file)
    engine = LlamaCppEngine(file, checkpoint)
    try:
        answers = engine.generate([item["prompt"] for item in items], 1, Sampling(temperature=0, max_new_tokens=80))
    finally:
        engine.close()
        file.unlink()
    right = [verify(answer.text, item) >= 1 for (answer,), item in zip(answers, items, strict=True)]
    return sum(right) / len(right)


def _items(file: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(file).to_pylist()


def _keep_what_others_need(cell: Cell, folder: Path) -> None:
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    if cell.name not in {one.start for one in CELLS}:
        shutil.rmtree(folder / "out" / "model", ignore_errors=True)
