"""A full disk is told as one, whatever said so first."""

import errno
import sqlite3
from pathlib import Path

import pytest

from kt_resources.store.full_disk import free_bytes, full_disk


def raised(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError('Error while serializing: IoError(Os { message: "No space left on device" })'),
        raised(RuntimeError("the step failed"), OSError(errno.ENOSPC, "No space left on device")),
        raised(RuntimeError("the run failed"), sqlite3.OperationalError("database or disk is full")),
    ],
)
def test_a_full_disk_is_found_behind_other_errors(error: Exception, tmp_path: Path) -> None:
    found = full_disk(error, tmp_path)
    assert found is not None
    assert "the disk is full" in str(found) and str(tmp_path) in str(found)
    assert "KT_HOME" in found.mend and "kept" in found.mend


def test_the_file_that_did_not_fit_is_named(tmp_path: Path) -> None:
    found = full_disk(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "deep" / "model")), tmp_path)
    assert found is not None and found.where == str(tmp_path / "deep" / "model")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), ValueError("a space is left")])
def test_other_errors_are_none(error: Exception, tmp_path: Path) -> None:
    assert full_disk(error, tmp_path) is None


def test_what_is_free_is_asked_of_the_folder_above_where_there_is_none(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "there") == pytest.approx(free_bytes(tmp_path), rel=0.2)
