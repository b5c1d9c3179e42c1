"""The inside of a program: read the spec, tell progress, leave a result.

A program is anything that holds a GPU or a lot of memory. It runs in its own process,
``python -m kt_resources.trainers --spec spec.json``, by hand or under Dagster Pipes. It reads one JSON spec,
writes its files under ``out_dir`` (the artifact-to-be) and ``scratch_dir`` (checkpoints, caches; survives a
crash, is never part of the artifact), and ends by writing ``<out_dir>/run/result.json``.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from kt_resources.compute.tether import MARK, die_with_parent
from kt_resources.errors import KtError
from kt_resources.strict import Strict

EXIT_MISTAKE = 3
"""Exit code of a program that stopped on a :class:`KtError`; its message stands in ``run/error.json``."""


class ProgramSpec(Strict):
    """What every program's spec has.

    Attributes:
        out_dir: the artifact-to-be; files written here are hashed and committed.
        scratch_dir: checkpoints and caches, kept until the stage commits.
    """

    out_dir: Path
    scratch_dir: Path

    @property
    def uses_network(self) -> bool:
        """Whether the program may reach the Hugging Face hub; override it where the spec names a hub id."""
        return False


S = TypeVar("S", bound=ProgramSpec)

ORPHAN_GRACE_S = 20.0
"""How long a program may take to end once the process that launched it is gone; then it kills itself."""


class Progress:
    """Tells how far a program is: one JSON line a report in ``run/progress.jsonl``, and to Dagster if it listens.

    Reports to Dagster are throttled to one every ``every_s`` seconds, as each costs tens of milliseconds. Of several
    processes only rank 0 reports.
    """

    def __init__(self, out_dir: Path, pipes: Any = None, every_s: float = 5.0) -> None:
        self.file = out_dir / "run" / "progress.jsonl"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._pipes, self._every_s, self._last = pipes, every_s, 0.0

    def report(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        """Say that ``done`` of ``total`` units are finished, with the current figures (loss, reward ...)."""
        if not is_rank_zero():
            return
        row = {"time": time.time(), "done": done, "total": total, "message": message, "metrics": metrics}
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        now = time.monotonic()
        if self._pipes is not None and (now - self._last >= self._every_s or done >= total):
            self._last = now
            shown = " ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            self._pipes.log.info(f"{message} {done:g}/{total:g} {shown}".strip())


def is_rank_zero() -> bool:
    """Whether this is the only process of the program, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically: a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")
    os.replace(temporary, path)


@contextlib.contextmanager
def _pipes_if_launched() -> Iterator[Any]:
    """The Dagster Pipes context where Dagster launched us and this is rank 0; else None."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ or not is_rank_zero():
        yield None
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        yield pipes


def end_with_parent() -> None:
    """Tie a launched program to its launcher: SIGTERM when that dies, SIGKILL to our group if we then do not end.

    The second holds even where the main thread is stuck in native code. Programs started by hand are left alone.
    """
    parent = os.getppid()
    die_with_parent(parent)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        if sys.platform != "linux":
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_GRACE_S)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run_program(spec_class: type[S], work: Callable[[S, Progress], dict[str, Any]]) -> None:
    """Entry point of every program: parse ``--spec``, call ``work``, write ``run/result.json``.

    ``work`` returns the facts of what it made (JSON values). A :class:`KtError` is printed without a stack
    trace, written to ``run/error.json``, and ends the process with :data:`EXIT_MISTAKE`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--spec", type=Path, required=True)
    spec_file: Path = parser.parse_args().spec
    try:
        spec = spec_class.model_validate_json(spec_file.read_text())
    except (OSError, ValidationError) as error:
        sys.exit(f"{spec_file}: not a spec of this program: {error}")
    if MARK in os.environ:
        end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for folder in (spec.out_dir / "run", spec.scratch_dir):
        folder.mkdir(parents=True, exist_ok=True)
    with _pipes_if_launched() as pipes:
        try:
            result = work(spec, Progress(spec.out_dir, pipes))
        except KtError as error:
            mistake = {"kind": type(error).__name__, "what": error.what, "where": error.where, "mend": error.mend}
            write_json(spec.out_dir / "run" / "error.json", mistake)
            print(error, file=sys.stderr)
            sys.exit(EXIT_MISTAKE)
    if is_rank_zero():
        write_json(spec.out_dir / "run" / "result.json", result)
