"""One contest: every contestant trains the same rows, a step each in turn."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.trainers.job import Job
from kt_resources.compute.environment import RUNTIME

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "DISABLE_VERSION_CHECK": "1",
    "GOMP_SPINCOUNT": "10000",
}


@dataclass(frozen=True)
class Contestant:
    """A name, the command that trains a job file, and what its environment has beside everyone's."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Ran:
    """What a contestant did.

    Attributes:
        seconds: of each optimizer step.
        logs: what its trainer logged, a row a logging step.
        error: the end of its output where it did not finish.
    """

    seconds: list[float] = field(default_factory=list)
    peak_memory_gb: float = 0.0
    logs: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


def python() -> Path:
    """The interpreter of this project's environment."""
    return Path(sys.executable)


def ours() -> Contestant:
    """This project's training program."""
    return Contestant("ours", (sys.executable, "-m", "benchmarks.trainers.ours"), RUNTIME)


def trl() -> Contestant:
    """TRL as it comes."""
    return Contestant("TRL", (sys.executable, "-m", "benchmarks.trainers.trl_script"))


def llamafactory(python: Path) -> Contestant:
    """LLaMA-Factory with the interpreter of its environment."""
    return Contestant("LLaMA-Factory", (str(python), str(Path(__file__).with_name("llamafactory_script.py"))))


def hold(contestants: Sequence[Contestant], job: dict[str, Any], folder: Path) -> dict[str, Ran]:
    """Run the contest; ``job`` has what is equal, ``folder`` gets a folder a contestant."""
    table = folder / "table"
    table.mkdir(parents=True)
    processes = []
    for place, contestant in enumerate(contestants):
        out = folder / contestant.name
        seat = {"out_dir": str(out), "table_dir": str(table), "place": place, "num_places": len(contestants)}
        file = Job(**job, **seat).write(out / "job.json")
        with (out / "output.txt").open("w") as output:
            command = [*contestant.command, str(file)]
            environment = os.environ | contestant.environment | QUIET
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        processes.append(process)
    while any(process.poll() is None for process in processes):
        for place, process in enumerate(processes):
            if process.poll() is not None:
                (table / f"left-{place}").touch()
        time.sleep(0.2)
    return {
        contestant.name: _ran(folder / contestant.name, process.returncode)
        for contestant, process in zip(contestants, processes, strict=True)
    }


def _ran(out: Path, returncode: int) -> Ran:
    steps = out / "steps.json"
    if returncode != 0 or not steps.is_file():
        return Ran(error=(out / "output.txt").read_text()[-2000:])
    return Ran(**json.loads(steps.read_text()))
