"""Why a program failed, as an error that a person can act on."""

import json
import re
import signal
from pathlib import Path

from kt_resources import errors
from kt_resources.errors import ComputeError, KtError
from kt_resources.store.full_disk import ALMOST_NOTHING, FULL, disk_is_full, free_bytes

SHOWN_LINES = 15

OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|can't allocate memory|Cannot allocate memory|^MemoryError|std::bad_alloc",
    re.MULTILINE,
)
KILLED = re.compile(r"exitcode\s*:\s*-9\b")
"""How torch's elastic launcher reports a worker that SIGKILL ended."""

LESS_MEMORY = (
    "lower micro_batch_size (raise gradient_accumulation_steps by as much) or max_seq_len, or choose an update that "
    "trains fewer weights; declare what it needs as needs.memory_gb"
)


def failure(module: str, exit_code: int, run_dir: Path, log: str) -> KtError:
    """The error for a program that ended with ``exit_code`` (negative: a signal) and this ``log`` of its own run.

    A mistake that the program itself explained (``run/error.json``) is given on as it is.
    """
    told = run_dir / "error.json"
    if told.exists():
        return explained(json.loads(told.read_text()))
    if FULL.search(log) or free_bytes(run_dir) < ALMOST_NOTHING:
        return disk_is_full(run_dir)
    where, lines = str(run_dir / "log.txt"), [line for line in log.splitlines() if line.strip()]
    tail = "\n    ".join(["", *lines[-SHOWN_LINES:]]) if lines else " nothing"
    if exit_code == -signal.SIGKILL or KILLED.search(log):
        what = f"{module} was killed (SIGKILL), as the system does with a program that takes the last memory"
        return ComputeError(f"{what}; its log ends with:{tail}", where=where, mend=LESS_MEMORY)
    if OUT_OF_MEMORY.search(log):
        return ComputeError(f"{module} ran out of memory; its log ends with:{tail}", where=where, mend=LESS_MEMORY)
    ended = f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
    what = f"{module} ended with {ended}; its log ends with:{tail}"
    return ComputeError(what, where=where, mend="read the whole log there; the next run goes on from the checkpoint")


def explained(mistake: dict[str, str]) -> KtError:
    """The :class:`KtError` that ``run/error.json`` describes."""
    kind = getattr(errors, mistake.get("kind", ""), ComputeError)
    if not (isinstance(kind, type) and issubclass(kind, KtError)):
        kind = ComputeError
    return kind(mistake["what"], where=mistake.get("where", ""), mend=mistake.get("mend", ""))
