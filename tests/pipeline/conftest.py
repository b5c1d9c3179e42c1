"""The ``tiny`` line, made once through the ``kt`` command; every test of this folder looks at what it made."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kt_resources.store.store import Artifact, Store


class Kt:
    """The ``kt`` command with a home of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.store = Store(home / "store")
        self.environment = {**os.environ, "KT_HOME": str(home), "OMP_NUM_THREADS": "1", **environment}
        self.environment.pop("DAGSTER_HOME", None)

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kt_assets.cli.main", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.environment | environment, text=True, **pipes)

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.popen(*arguments, **environment)
        out, err = process.communicate(timeout=1800)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str, **environment: str) -> Any:
        done = self(*arguments, "--json", **environment)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def current(self, asset: str) -> Artifact:
        found = self.store.current(f"tiny/{asset}")
        assert found is not None, f"{asset} was not made"
        return found


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kt, dict[str, Any]]]:
    """``kt run tiny`` on a fresh home, and what it printed."""
    kt = Kt(tmp_path_factory.mktemp("kt_home"))
    yield kt, kt.json("run", "tiny")


@pytest.fixture
def kt_at() -> type[Kt]:
    """The command for a home of the test's own: ``kt_at(folder, **environment)``."""
    return Kt


@pytest.fixture
def kt(tiny_run: tuple[Kt, dict[str, Any]]) -> Kt:
    """The command, on the home where ``tiny`` was made."""
    return tiny_run[0]
