"""The manifest: the file that makes an artifact exist."""

import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

from kt_resources.strict import Strict

MANIFEST = "manifest.json"
LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "mergekit", "gguf", "llama-cpp-python", "lm-eval")


class FileEntry(Strict):
    """One file of an artifact: SHA-256 in hex, size in bytes."""

    sha256: str
    size: int


class Parent(Strict):
    """An artifact that this one was made from."""

    asset: str
    data_version: str


class Manifest(Strict):
    """What an artifact is, what it came from, and how it was made.

    Attributes:
        asset: ``<line>/<name>``.
        data_version: hash of the contents (files outside ``run/``).
        fingerprint: hash of resolved config, parents and stage version.
        parents: the inputs by the name that the stage gives them, each with the version that was read.
        config: the resolved stage configuration.
        facts: figures about the content that the making returned.
        seconds: wall time of the making; ``own_work_seconds`` of it inside programs and generators.
        overrides: names of parents that were read although a blocking rule had not passed, and ``memory`` where a
            training ran although its plan did not fit the device.
    """

    asset: str
    data_version: str
    fingerprint: str
    stage_version: str
    parents: dict[str, Parent]
    config: dict[str, Any]
    facts: dict[str, Any]
    files: dict[str, FileEntry]
    created_at: str
    seconds: float
    own_work_seconds: float
    overrides: list[str] = []
    versions: dict[str, str] = Field(default_factory=lambda: library_versions())
    host: dict[str, str] = Field(default_factory=lambda: host_facts())

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into ``folder``."""
        (folder / MANIFEST).write_text(self.model_dump_json(indent=2) + "\n")


def now() -> str:
    """The time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that shape an artifact, without importing them."""
    return {"python": platform.python_version()} | versions_of((*LIBRARIES, "kt-post-training"))


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def host_facts() -> dict[str, str]:
    """The machine's kind; no names or addresses."""
    return {"system": platform.system(), "machine": platform.machine(), "python": sys.implementation.name}
