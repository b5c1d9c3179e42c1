"""A device is timed once for a width and precision, and what was measured is kept in the store."""

from pathlib import Path

import pytest

from kt_resources.compute.devices import Device
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.speed import calibration
from kt_resources.compute.speed.calibration import Speed, calibrated_speed, speed_file
from kt_resources.errors import ComputeError

CPU = Device(kind="cpu", index=0, name="x86_64", memory_gb=16)
SMALL = ModelShape(layers=2, hidden=64, intermediate=128, heads=4, kv_heads=2, head_dim=16, vocab=512, tied=True)


@pytest.mark.slow
def test_this_device_is_timed_and_the_second_plan_reads_what_was_kept(tmp_path: Path) -> None:
    measured = calibrated_speed(tmp_path, CPU, SMALL, "fp32")
    assert min(value for value in measured.model_dump(exclude={"source"}).values()) > 0
    assert measured.source.startswith("calibrated on cpu")
    kept = speed_file(tmp_path, CPU, SMALL, "fp32")
    kept.write_text(measured.model_copy(update={"imports_s": 123.0}).model_dump_json())
    assert calibrated_speed(tmp_path, CPU, SMALL, "fp32").imports_s == 123.0


def test_a_kept_figure_of_another_version_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anew = Speed(**dict.fromkeys(set(Speed.model_fields) - {"source"}, 7.0), source="anew")
    monkeypatch.setattr(calibration, "measure_speed", lambda *_: anew)
    file = speed_file(tmp_path, CPU, SMALL, "fp32")
    file.parent.mkdir(parents=True)
    file.write_text('{"gflops": 3}')
    assert calibrated_speed(tmp_path, CPU, SMALL, "fp32") == anew
    assert Speed.model_validate_json(file.read_text()) == anew


def test_a_calibration_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration.sys, "executable", "/bin/false")
    with pytest.raises(ComputeError, match="calibration failed"):
        calibration.measure_speed(CPU, SMALL, "fp32")
