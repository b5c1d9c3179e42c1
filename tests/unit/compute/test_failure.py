import json

import pytest

from kt_resources.compute.failure import explained, failure
from kt_resources.errors import ComputeError, DataError, StoreError


def test_only_the_last_fifteen_lines_of_the_log_are_told(tmp_path) -> None:
    log = "\n".join(f"line {number}" for number in range(1, 41))
    message = str(failure("m", 1, tmp_path, log))
    assert "line 26" in message and "line 40" in message and "line 25" not in message  # 40 - 15 = 25
    assert "exit code 1" in message and str(tmp_path / "log.txt") in message


@pytest.mark.parametrize(
    "log",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried",
        "HIP out of memory",
        "DefaultCPUAllocator: can't allocate memory: you tried",
        "Traceback\nMemoryError",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "  exitcode  : -9 (pid: 12)",
    ],
)
def test_memory_is_recognized(tmp_path, log) -> None:
    assert "micro_batch_size" in failure("m", 1, tmp_path, log).mend


def test_another_error_is_not_taken_for_memory(tmp_path) -> None:
    assert "micro_batch_size" not in failure("m", 1, tmp_path, "ValueError: memory of the poem").mend


def test_a_signal_is_named(tmp_path) -> None:
    assert "signal SIGSEGV" in failure("m", -11, tmp_path, "").what


def test_a_told_mistake_wins_over_the_log(tmp_path) -> None:
    (tmp_path / "error.json").write_text(json.dumps({"kind": "DataError", "what": "w", "where": "f:1", "mend": "m"}))
    error = failure("m", 3, tmp_path, "CUDA out of memory")
    assert isinstance(error, DataError) and (error.what, error.where, error.mend) == ("w", "f:1", "m")


@pytest.mark.parametrize("kind", ["Unknown", "annotations", ""])
def test_an_unknown_kind_becomes_a_compute_error(kind) -> None:
    assert type(explained({"kind": kind, "what": "w"})) is ComputeError


def test_a_full_disk_is_recognized(tmp_path) -> None:
    told = failure("m", 1, tmp_path, "RuntimeError: I/O error: No space left on device (os error 28)")
    assert isinstance(told, StoreError)
    assert "the disk is full" in str(told) and "KT_HOME" in told.mend
