"""One process at a time: the second is told who is first."""

import os
from pathlib import Path

import pytest

from kt_resources.errors import StoreError
from kt_resources.store.store import alone


def test_the_second_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    lock = tmp_path / "runs" / "mine.lock"
    with alone(lock, "mine", "is running this line already"):
        with (
            pytest.raises(StoreError, match=f"mine: process {os.getpid()} is running this line already") as error,
            alone(lock, "mine", "is running this line already"),
        ):
            pytest.fail("two at once")
        assert "wait for it" in error.value.mend
    with alone(lock, "mine", "is running this line already"):
        assert lock.read_text() == str(os.getpid())
