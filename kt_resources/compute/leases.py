"""Leases: one lock file a device, locked by ``flock``, held for exactly as long as the program lives.

The descriptor of the lock is inherited by the program (``pass_fds``) and then closed here, so the kernel frees the
device when the last process of the program is gone, however it ended. A request takes all its devices or none. Within
a kind, requests are served one after the other: the one that waits holds the kind's queue lock, so that a request for
eight devices is not passed by for ever by requests for one.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kt_resources.compute.devices import Device
from kt_resources.compute.needs import Needs, Precision
from kt_resources.compute.precision import choose_precision
from kt_resources.errors import ComputeError

POLL_S = 0.1
REMIND_S = 60.0


class Lease:
    """Leased devices. ``file_descriptors`` go to the program; :meth:`hand_over` then leaves the lease to it alone."""

    def __init__(self, devices: Sequence[Device], precision: Precision, locks: Sequence["Lock"]) -> None:
        self.devices, self.precision, self.wait_s = list(devices), precision, 0.0
        self._locks = list(locks)

    @property
    def file_descriptors(self) -> list[int]:
        return [lock.descriptor for lock in self._locks]

    def hand_over(self, pid: int) -> None:
        """Write the program's pid as the holder and close our descriptors; the program's keep the lease."""
        for lock in self._locks:
            lock.sign(pid)
        self.release()

    def release(self) -> None:
        """Close our descriptors; where no program has inherited them, this frees the devices."""
        while self._locks:
            self._locks.pop().close()


class Lock:
    """One lock file, opened; :meth:`take` never blocks."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def take(self) -> bool:
        """Lock it if it is free, and say whether we have it now."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sign(self, pid: int) -> None:
        """Say in the file who holds it."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps({"pid": pid, "since": time.strftime("%F %T")}).encode(), 0)

    def close(self) -> None:
        os.close(self.descriptor)


def candidates(devices: Sequence[Device], needs: Needs) -> list[Device]:
    """The devices that could serve ``needs``, all of one kind, in a fixed order.

    ``any`` takes the first kind at hand, GPUs before the CPU. The CPU is one device that all processes of a program
    share, so there its memory is compared with what they need together.

    Raises:
        ComputeError: the machine can never serve them.
    """
    kind = devices[0].kind if needs.kind == "any" else needs.kind
    processes_each = needs.devices if kind == "cpu" else 1
    wanted_gb = (needs.memory_gb or 0) * processes_each
    fitting = [device for device in devices if device.kind == kind and device.memory_gb >= wanted_gb]
    if len(fitting) >= needs.devices or (fitting and kind == "cpu"):
        return fitting
    at_hand = ", ".join(f"{device.id} {device.name} {device.memory_gb:g} GB" for device in devices)
    other = "" if kind == "cpu" else "say kind: cpu, "
    size = f" of {needs.memory_gb:g} GB" if needs.memory_gb else ""
    raise ComputeError(
        f"{needs.devices} × {needs.kind}{size} can never be had here; at hand: {at_hand}",
        where="needs",
        mend=f"lower needs.devices or needs.memory_gb in the recipe, {other}or use a machine that has them",
    )


def holders(folder: Path, devices: Sequence[Device]) -> str:
    """Which of ``devices`` are held, by whom and since when."""
    return "; ".join(_holder(lock_file(folder, device), device) for device in devices if not _is_free(folder, device))


def _is_free(folder: Path, device: Device) -> bool:
    lock = Lock(lock_file(folder, device))
    try:
        return lock.take()
    finally:
        lock.close()


def _holder(file: Path, device: Device) -> str:
    with contextlib.suppress(OSError, ValueError, KeyError):
        told = json.loads(file.read_text())
        return f"{device.id} by process {told['pid']} since {told['since']}"
    return f"{device.id} by a program that is starting"


def lock_file(folder: Path, device: Device) -> Path:
    """The lock file of ``device``."""
    return folder / f"{device.kind}-{device.index}.lock"


def try_lease(folder: Path, devices: Sequence[Device], count: int) -> tuple[list[Device], list[Lock]]:
    """Lock ``count`` of ``devices``, or none of them when fewer are free."""
    taken: list[tuple[Device, Lock]] = []
    for device in devices:
        lock = Lock(lock_file(folder, device))
        if lock.take():
            taken.append((device, lock))
        else:
            lock.close()
        if len(taken) == count:
            for _, lock in taken:
                lock.sign(os.getpid())
            return [device for device, _ in taken], [lock for _, lock in taken]
    for _, lock in taken:
        lock.close()
    return [], []


@contextlib.contextmanager
def lease(
    folder: Path,
    devices: Sequence[Device],
    needs: Needs,
    timeout_s: float | None = None,
    tell: Callable[[str], None] = print,
) -> Iterator[Lease]:
    """Lease what ``needs`` asks for, waiting up to ``timeout_s`` seconds (None: for ever).

    Args:
        folder: where the lock files are; one folder a machine.
        tell: called with a message that names the holders when waiting starts, then every minute.

    Raises:
        ComputeError: the machine can never serve ``needs``, or the time is over.
    """
    fitting = candidates(devices, needs)
    precision = choose_precision(needs, fitting[0])
    count = 1 if fitting[0].kind == "cpu" else needs.devices
    started = time.monotonic()
    chosen, locks = _wait_for(folder, fitting, count, timeout_s, tell)
    held = Lease(chosen, precision, locks)
    held.wait_s = time.monotonic() - started
    try:
        yield held
    finally:
        held.release()


def _wait_for(
    folder: Path, fitting: Sequence[Device], count: int, timeout_s: float | None, tell: Callable[[str], None]
) -> tuple[list[Device], list[Lock]]:
    """Lock ``count`` of ``fitting`` as soon as it is our turn and they are free."""
    started, told_at = time.monotonic(), -REMIND_S
    queue, our_turn = Lock(folder / f"{fitting[0].kind}.queue.lock"), False
    try:
        while True:
            our_turn = our_turn or queue.take()
            chosen, locks = try_lease(folder, fitting, count) if our_turn else ([], [])
            if chosen:
                return chosen, locks
            waited = time.monotonic() - started
            if timeout_s is not None and waited >= timeout_s:
                what = f"waited {waited:.1f} s for {count} device(s); held: {holders(folder, fitting)}"
                raise ComputeError(
                    what, where="lease", mend="wait for those programs, or end them by their process ids"
                )
            if waited - told_at >= REMIND_S:
                told_at = waited
                tell(f"waiting for {count} device(s); held: {holders(folder, fitting)}")
            time.sleep(POLL_S)
    finally:
        queue.close()
