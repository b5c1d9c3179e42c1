"""From step times to ratios with a spread."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2000


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one is as another, with a 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f})"


def speed_ratio(ours: Sequence[float], others: Sequence[float], seed: int = 0) -> Ratio:
    """Others' seconds over ours for the same rows; the interval by bootstrap over rounds (a step of each).

    >>> str(speed_ratio([1.0, 1.0], [2.0, 2.0]))
    '2.00 (2.00–2.00)'
    """
    pairs = list(zip(ours, others, strict=True))
    draw = random.Random(seed)
    drawn = sorted(_ratio(draw.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    return Ratio(_ratio(pairs), drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)])


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return sum(other for _, other in pairs) / sum(mine for mine, _ in pairs)


def machine() -> dict[str, object]:
    """What the run says of the machine: processor, cores, and how busy it was when the run ended."""
    import os
    from pathlib import Path

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": named[0] if named else "unknown",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_15_min": round(os.getloadavg()[2], 1),
    }
