import signal
import subprocess
import sys
import time

import pytest

from kt_resources.compute.process import Process, marked_processes

IGNORING = "import signal,time; signal.signal(2, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
LEAVING = (
    "import subprocess,sys; subprocess.Popen([sys.executable, '-c', \"import time; time.sleep({seconds})\"],"
    " start_new_session=True)"
)


def start(tmp_path, code: str, wait_for: str = "") -> Process:
    log_file = tmp_path / "log"
    with log_file.open("wb") as log:
        process = Process([sys.executable, "-c", code], {}, log)
    while wait_for not in log_file.read_text():
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("code", "exit_code"), [("pass", 0), ("import sys; sys.exit(7)", 7), ("import os; os.abort()", -6)]
)
def test_exit_codes_and_signals_are_told(tmp_path, code, exit_code) -> None:
    assert start(tmp_path, code).wait() == exit_code


def test_peak_memory_is_that_of_the_program(tmp_path) -> None:
    process = start(tmp_path, "import time; x = bytearray(200_000_000); time.sleep(0.3)")
    process.wait()
    assert 0.2 < process.peak_memory_gb < 0.3  # 200 MB and an interpreter


def test_stop_goes_on_to_the_next_signal(tmp_path) -> None:
    process = start(tmp_path, IGNORING, "up")
    process.stop([(signal.SIGINT, 0.2), (signal.SIGTERM, 5)])
    assert process.poll() == -signal.SIGTERM


def test_sweep_finds_what_has_left_the_group(tmp_path) -> None:
    process = start(tmp_path, LEAVING.format(seconds=60))
    assert process.wait() == 0
    assert len(marked_processes(process.mark)) == 1
    process.sweep()
    assert marked_processes(process.mark) == []


def test_drain_lets_descendants_end_by_themselves_and_ends_them_when_time_is_over(tmp_path) -> None:
    started = time.monotonic()
    process = start(tmp_path, LEAVING.format(seconds=0.6))
    process.wait()
    process.drain(10)
    assert 0.4 < time.monotonic() - started < 5
    process = start(tmp_path, LEAVING.format(seconds=60))
    process.wait()
    process.drain(0.2)
    assert marked_processes(process.mark) == []


def test_a_program_whose_launcher_is_gone_does_not_start() -> None:
    from kt_resources.compute import tether

    gone = subprocess.run([sys.executable, tether.__file__, "1", "echo", "ran"], capture_output=True, text=True)
    assert gone.returncode != 0 and "ran" not in gone.stdout
