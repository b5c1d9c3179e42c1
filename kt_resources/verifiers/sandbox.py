"""Run a program that nobody trusts: in a jail (:mod:`kt_resources.verifiers.jail`), with a limit on its time."""

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO

JAIL = Path(__file__).with_name("jail.py")
KEPT_OUTPUT = 2**20
"""Bytes of the program's output that are looked at."""
KILLED_WITHIN_S = 10.0
"""How long the launcher may take to end what it started, before it is killed itself and the rest with it."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        timeout_s: wall time, start of the interpreter included.
        cpu_s: CPU time.
        memory_mb: address space of each process: a run may hold ``processes`` times as much, and, until it ends, shared
            segments and files in memory that no process has mapped.
        processes: processes and threads.
        file_mb: size of a file, its output among them.
        scratch_mb: all files that it writes, kept in memory.
    """

    timeout_s: float = 5.0
    cpu_s: int = 5
    memory_mb: int = 512
    processes: int = 16
    file_mb: int = 8
    scratch_mb: int = 16


@dataclass(frozen=True)
class Ran:
    """What became of a program.

    Attributes:
        passed: for each test whether it passed; empty where the program did not get that far.
        finished: whether it ended by itself, in time and without an error.
        stdout: its output.
        stderr: the end of what it complained of.
    """

    passed: tuple[bool, ...]
    finished: bool
    stdout: str
    stderr: str


def run_jailed(source: str, limits: Limits, stdin: str = "", tests: Sequence[str] = ()) -> Ran:
    """Run ``source`` as a Python program on ``stdin``, then ``tests`` in its names."""
    token = secrets.token_hex(16)
    verdict_out, verdict_in = os.pipe()
    with (
        tempfile.TemporaryDirectory() as root,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryFile() as request,
    ):
        given.write(stdin.encode())
        asked = {"source": source, "tests": list(tests), "token": token, "root": root, "verdict": verdict_in}
        request.write(json.dumps(asked | {"caller": os.getpid(), "limits": asdict(limits)}).encode())
        given.seek(0), request.seek(0)
        environment = {
            "HOME": "/tmp",
            "USER": "nobody",
            "LANG": "C.UTF-8",
            "PATH": os.defpath,
            "OPENBLAS_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-I", str(JAIL), str(request.fileno())],
            stdin=given,
            stdout=out,
            stderr=err,
            pass_fds=(request.fileno(), verdict_in),
            start_new_session=True,
            env=environment,
            cwd="/",
        )
        os.close(verdict_in)
        ended = _wait(process, limits.timeout_s)
        passed = _verdict(verdict_out, token)
        return Ran(passed or (), ended and passed is not None, _read(out), _read(err)[-2000:])


def _wait(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    """Whether the program ended well in time; when this returns, nothing is left of it."""
    try:
        with os.fdopen(os.pidfd_open(process.pid)) as handle:
            end = select.poll()
            end.register(handle, select.POLLIN)
            return bool(end.poll(timeout_s * 1000)) and process.wait() == 0
    finally:
        process.terminate()  # the launcher kills all that it started, and ends when they have
        try:
            process.wait(KILLED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _verdict(pipe: int, token: str) -> tuple[bool, ...] | None:
    os.set_blocking(pipe, False)
    with os.fdopen(pipe, "rb") as verdict:
        told = verdict.read(KEPT_OUTPUT) or b""
    try:
        given, passed = json.loads(told)
    except (ValueError, TypeError):
        return None
    return tuple(bool(value) for value in passed) if given == token else None


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(KEPT_OUTPUT).decode(errors="replace")


@cache
def isolation_problem() -> str | None:
    """Why this system cannot shut a program in; None where it can."""
    if not sys.platform.startswith("linux"):
        return f"programs are shut in by Linux namespaces, and this is {sys.platform}"
    try:
        ran = run_jailed("import decimal, os; os.stat('/')", Limits(timeout_s=30))
    except OSError as error:
        ran = Ran((), False, "", str(error))
    if ran.finished:
        return None
    last = ran.stderr.strip().splitlines()[-1:] or ["it did not end"]
    return f"this system does not let a program be shut in ({last[0]}); it takes root, or unprivileged user namespaces"
