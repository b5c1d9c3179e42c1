"""A full disk, told as what it is wherever it shows: in an OSError, a library's own error, or a program's log."""

import errno
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from kt_resources.errors import StoreError

FULL = re.compile(r"No space left on device|database or disk is full|Disk quota exceeded", re.IGNORECASE)
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
ALMOST_NOTHING = 1 << 20
"""Bytes free below which a program that broke off is taken to have filled the disk: its log may be cut off too."""


def full_disk(error: BaseException, folder: Path) -> StoreError | None:
    """The StoreError for ``error`` where a full disk caused it, else None.

    Args:
        folder: where was written, for errors that name no file.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in FULL_ERRNOS:
            return disk_is_full(Path(str(cause.filename)) if cause.filename else folder)
        if isinstance(cause, Exception) and FULL.search(str(cause)):
            return disk_is_full(folder)
    return None


def disk_is_full(place: Path) -> StoreError:
    """What a person reads, with what is free where."""
    mend = "free some space there, or move KT_HOME to another disk; what was made is kept, and `kt run` goes on from it"
    return StoreError(f"the disk is full ({free_bytes(place) / 1e6:.1f} MB free)", where=str(place), mend=mend)


def free_bytes(place: Path) -> int:
    """Bytes free on the disk of ``place``, or of the nearest folder above that exists."""
    there = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), Path("/"))
    return shutil.disk_usage(there).free


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        here = waiting.pop()
        if here is not None and id(here) not in seen:
            seen.add(id(here))
            yield here
            waiting += [here.__cause__, here.__context__, getattr(here, "orig", None)]
