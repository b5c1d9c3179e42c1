"""Seconds and peak memory of each phase of a training."""

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Clock:
    """Seconds by phase and, where the system can say it of a phase alone, the most memory held in it.

    Attributes:
        seconds: wall time by phase.
        cpu_seconds: of all threads of this process, by phase: what the phase costs on a machine however busy.
        peaks_gb: by phase, in 10^9 bytes: of the device where torch has one, else of this process.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    peaks_gb: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to ``name``, and note its peak."""
        alone = _forget_peak()
        start, cpu_start = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + time.process_time() - cpu_start
            if alone:
                self.peaks_gb[name] = max(self.peaks_gb.get(name, 0.0), peak_memory_gb())

    @property
    def peak_gb(self) -> float:
        """The most memory held at once, all phases together."""
        return max([*self.peaks_gb.values(), peak_memory_gb()])


def peak_memory_gb() -> float:
    """The most memory held at once since the last :func:`_forget_peak`: of the device, or of this process."""
    if (cuda := _cuda()) is not None:
        return cuda.max_memory_allocated() / 1e9
    with contextlib.suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _forget_peak() -> bool:
    """Start the peak anew at what is held now; False where the system has no such thing (outside Linux)."""
    if (cuda := _cuda()) is not None:
        cuda.reset_peak_memory_stats()
        return True
    try:
        CLEAR.write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        return False
    return True


def _cuda() -> Any:
    """``torch.cuda`` where torch is loaded and has a device; the phase of the imports must not begin with one."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
