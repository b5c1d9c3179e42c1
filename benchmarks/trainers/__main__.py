"""``python -m benchmarks.trainers``: our training program, TRL and LLaMA-Factory on the same rows in one run.

Writes ``<work>/trainers/result.json`` and ``docs/speed.md``. Takes about 7 minutes on two idle cores; the first time
the base model (half a minute) and LLaMA-Factory's environment (a minute and a half of pip) are made too.
"""

import argparse
import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.base import DEFAULT_WORK, base_checkpoint
from benchmarks.trainers import contest
from benchmarks.trainers.environment import llamafactory_python, versions
from benchmarks.trainers.figures import machine
from benchmarks.trainers.page import page
from benchmarks.trainers.rows import write_rows
from benchmarks.trainers.score import held_out_losses

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
PLANS: dict[str, dict[str, Any]] = {
    "sft": {"steps": 14, "batch": 8, "learning_rate": 1e-3},
    "dpo": {"steps": 5, "batch": 4, "learning_rate": 1e-4},
    "grpo": {"steps": 2, "batch": 16, "learning_rate": 1e-4},
}
"""Steps, rows of a step (GRPO: completions) and peak learning rate of each contest."""

HELD_OUT = 24


def main() -> None:
    """Hold the contests that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where models, environments and results lie")
    parser.add_argument("--objective", choices=PLANS, action="append", help="only this contest (may be repeated)")
    parser.add_argument("--times", type=int, default=1, help="this many times as many steps")
    parser.add_argument("--without-llamafactory", action="store_true", help="leave its environment unmade")
    options = parser.parse_args()
    os.environ |= contest.QUIET
    work = options.work.resolve()
    result = run(work, options.objective or list(PLANS), options.times, not options.without_llamafactory)
    (work / "trainers" / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    text = page(result)
    print(text)
    if not options.objective:
        PAGE.write_text(text)


def run(work: Path, objectives: list[str], times: int, with_llamafactory: bool) -> dict[str, Any]:
    """The contests, and what there is to say of machine and versions."""
    from kt_resources.compute.precision import cpu_gains_from_bf16

    started = time.time()
    base, folder = base_checkpoint(work), work / "trainers"
    python = llamafactory_python(work / "llamafactory") if with_llamafactory else None
    shutil.rmtree(folder, ignore_errors=True)
    plans = {name: plan | {"steps": plan["steps"] * times} for name, plan in PLANS.items()}
    counts = {name: plan["steps"] * plan["batch"] for name, plan in plans.items()}
    tokens = write_rows(folder / "rows", base, counts, HELD_OUT)
    contests, start = {}, base
    for name in objectives:
        contestants = [contest.ours(), contest.trl()]
        if name == "sft" and python is not None:
            contestants.append(contest.llamafactory(python))
        job = plans[name] | {"objective": name, "model_dir": str(start), "bf16": cpu_gains_from_bf16()}
        job["rows_file"] = str(folder / "rows" / f"{name}.parquet")
        ran = contest.hold(contestants, job, folder / name)
        contests[name] = {"job": job, "tokens": tokens.get(name), "ran": {key: asdict(one) for key, one in ran.items()}}
        if name != "grpo":
            contests[name]["held_out"] = _held_out(name, start, ran, folder)
        trained = folder / name / "ours" / "artifact" / "model"
        start = trained if name == "sft" and trained.is_dir() else start  # DPO and GRPO start from what SFT made
    told = {"ours and TRL": versions(contest.python())} | ({"LLaMA-Factory": versions(python)} if python else {})
    return {
        "contests": contests,
        "versions": told,
        "machine": machine(),
        "minutes": (time.time() - started) / 60,
        "date": time.strftime("%Y-%m-%d"),
    }


def _held_out(name: str, start: Path, ran: dict[str, contest.Ran], folder: Path) -> dict[str, float]:
    adapters = {key: folder / name / key / "adapter" for key, one in ran.items() if not one.error}
    return held_out_losses(name, start, adapters, folder / "rows" / f"{name}_held_out.parquet")


if __name__ == "__main__":
    main()
