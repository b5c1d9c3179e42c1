"""Peaks by phase: what one phase held is not counted in the next."""

import sys

import pytest

from kt_resources.trainers.clock import Clock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")


def test_a_phase_has_its_own_peak() -> None:
    """200 MB of zeroed pages in the first phase, nothing in the second."""
    clock = Clock()
    with clock.phase("large"):
        held = bytearray(200_000_000)
        held[::4096] = b"1" * len(held[::4096])
        del held
    with clock.phase("small"):
        pass
    assert clock.peaks_gb["large"] - clock.peaks_gb["small"] == pytest.approx(0.2, abs=0.02)
    assert clock.peak_gb == clock.peaks_gb["large"]


def test_a_phase_entered_twice_adds_its_seconds_and_keeps_its_larger_peak() -> None:
    clock = Clock()
    for size in (100_000_000, 1):
        with clock.phase("save"):
            held = bytearray(b"1") * size
            del held
    first = clock.peaks_gb["save"]
    with clock.phase("measure"):
        pass
    assert first - clock.peaks_gb["measure"] == pytest.approx(0.1, abs=0.02)
