"""Hashes that name things: contents, configurations, makings."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUN_FOLDER = "run"
"""The one folder of an artifact that its content hash leaves out: logs, curves with timings, the spec."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def hash_json(value: Any) -> str:
    """SHA-256 of ``value``'s canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def data_version(files: Mapping[str, str]) -> str:
    """The data version of an artifact: a hash over its files' relative paths and SHA-256 sums.

    Args:
        files: relative POSIX path → SHA-256 in hex; files under ``run/`` do not count.
    """
    counted = {path: digest for path, digest in files.items() if path.split("/")[0] != RUN_FOLDER}
    return hash_json(counted)


def fingerprint(config: Any, parents: Mapping[str, str], version: str) -> str:
    """What a making depends on: resolved stage config, parents' data versions, the stage's ``VERSION``.

    It is the cache key of the artifact and the name of its scratch folder, so an interrupted making
    continues whoever starts it next.
    """
    return hash_json({"config": config, "parents": dict(parents), "version": version})
