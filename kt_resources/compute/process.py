"""One program as a tree of processes: started in a session of its own, waited for, and ended without an orphan."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from kt_resources.compute import tether
from kt_resources.compute.tether import MARK

POLL_S = 0.05
TREE_S = 2.0
SWEEPS = 20
GRACE = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0))
"""Signals that a program may answer, with the seconds that it has to end after each; then SIGKILL."""


class Process:
    """A running program; ``pid`` leads its process group.

    The mark in its environment finds descendants that have left the group, as the workers of torch's elastic launcher
    do. The program dies when this process does.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: IO[Any], inherited: Sequence[int] = ()
    ) -> None:
        self.mark = uuid.uuid4().hex
        self._popen = subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command],
            env={**environment, MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(inherited),
        )
        self.pid = self._popen.pid
        self.peak_memory_gb = 0.0
        """Peak resident memory, the sum over its processes, as far as :meth:`poll` saw it."""
        self._tree, self._tree_seen = [self.pid], time.monotonic()

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        if self._popen.returncode is None:
            self._measure()
            self._popen.poll()
        return self._popen.returncode

    def _measure(self) -> None:
        now = time.monotonic()
        if now - self._tree_seen >= TREE_S:
            self._tree, self._tree_seen = marked_processes(self.mark) or [self.pid], now
        self.peak_memory_gb = max(self.peak_memory_gb, round(sum(map(peak_memory_gb, self._tree)), 3))

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the exit code; None where it still runs after ``timeout_s`` seconds."""
        started = time.monotonic()
        while (code := self.poll()) is None:
            if timeout_s is not None and time.monotonic() - started >= timeout_s:
                return None
            time.sleep(POLL_S)
        return code

    def drain(self, timeout_s: float) -> None:
        """SIGINT the group, wait until every process of the tree has ended by itself; after ``timeout_s`` end the rest.

        For a program whose processes have work of their own to wind up, such as a daemon with runs in flight.
        """
        started = time.monotonic()
        try:
            self._signal_group(signal.SIGINT)
            while self.poll() is None or marked_processes(self.mark):
                if time.monotonic() - started >= timeout_s:
                    break
                time.sleep(POLL_S)
        finally:
            self.stop()

    def stop(self, grace: Sequence[tuple[signal.Signals, float]] = GRACE) -> None:
        """End the whole tree: each signal of ``grace`` in turn, then SIGKILL.

        An interrupt while we wait (an impatient second Ctrl-C) skips to the next signal.
        """
        for number, seconds in grace:
            with contextlib.suppress(BaseException):
                self._signal_group(number)
                if self.wait(seconds) is not None:
                    break
        self.sweep()
        self.wait()

    def sweep(self) -> None:
        """SIGKILL whatever is left of the group and of the marked descendants, those born meanwhile included."""
        if self._popen.returncode is None or sys.platform != "linux":
            self._signal_group(signal.SIGKILL)
        for _ in range(SWEEPS):
            left = marked_processes(self.mark)
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                return
            time.sleep(POLL_S)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def marked_processes(mark: str) -> list[int]:
    """Processes with ``mark`` in their environment, ourselves excepted (Linux; elsewhere none are found)."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in file.read_bytes() and int(file.parent.name) != os.getpid():
                found.append(int(file.parent.name))
    return found


def peak_memory_gb(pid: int) -> float:
    """Peak resident memory of one process since it was started, in GB; 0 where the system does not tell (not Linux).

    ``getrusage`` will not do: its figure begins with the memory of the process that launched it.
    """
    with contextlib.suppress(OSError):
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(peak[1]) * 1024 / 1e9 if peak else 0.0
    return 0.0
