"""A real webserver and daemon: the ``tiny`` line is launched through GraphQL, run by the daemon, and looked at."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kt_resources.store.store import Store

CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
LAUNCH = """
mutation Launch($selector: JobOrPipelineSelector!, $config: RunConfigData) {
  launchRun(executionParams: {selector: $selector, runConfigData: $config}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on InvalidSubsetError { message }
  }
}
"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
CHECKS = """
query Checks { assetNodes { assetKey { path } assetChecksOrError {
  ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } }
"""


class Ui:
    """The UI of one home, by GraphQL."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{port}"

    def query(self, text: str, **variables: Any) -> Any:
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.load(answer)
        assert "errors" not in told, told
        return told["data"]

    def launch(self, assets: list[str], config: dict[str, Any] | None = None) -> str:
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "kt_assets",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["tiny", asset]} for asset in assets],
        }
        told = self.query(LAUNCH, selector=selector, config=config or {})["launchRun"]
        assert told["__typename"] == "LaunchRunSuccess", told
        return told["run"]["runId"]

    def wait(self, run_id: str, timeout_s: float = 1500) -> str:
        ends = time.monotonic() + timeout_s
        while time.monotonic() < ends:
            status = self.query(STATUS, id=run_id)["runOrError"]["status"]
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(1)
        raise TimeoutError(run_id)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    home = tmp_path_factory.mktemp("ui_home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "KT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment.pop("DAGSTER_HOME", None)
    command = [sys.executable, "-m", "kt_assets.cli.main", "ui", "--port", str(port)]
    log = (home / "ui.log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    ui = Ui(home, port)
    try:
        for _ in range(120):
            try:
                ui.query("{ version }")
                break
            except OSError:
                assert process.poll() is None, (home / "ui.log").read_text()
                time.sleep(0.5)
        yield ui
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def tiny_line(ui: Ui) -> Store:
    """The whole ``tiny`` line, materialized from the UI."""
    from kt_assets.cli.lines import find_line

    run_id = ui.launch(list(find_line("tiny").stages))
    assert ui.wait(run_id) == "SUCCESS"
    return Store(ui.home / "store")


def test_the_line_is_made_from_the_ui(tiny_line: Store) -> None:
    gguf = tiny_line.current("tiny/gguf_model")
    assert gguf is not None and gguf.path("model.gguf").read_bytes()[:4] == b"GGUF"


def test_its_checks_ran_and_passed(ui: Ui, tiny_line: Store) -> None:
    nodes = {"/".join(node["assetKey"]["path"]): node for node in ui.query(CHECKS)["assetNodes"]}
    checks = nodes["tiny/sft_model"]["assetChecksOrError"]["checks"]
    assert len(checks) >= 8
    assert {check["executionForLatestMaterialization"]["status"] for check in checks} <= {"SUCCEEDED", "FAILED"}
    assert tiny_line.current("tiny/evaluation_report") is not None


def test_one_asset_is_made_again_with_an_option_from_the_launchpad(ui: Ui, tiny_line: Store) -> None:
    before = tiny_line.pointer("tiny/rl_prompts")
    config = {"ops": {"tiny__rl_prompts": {"config": {"validation_rows": 5}}}}
    assert ui.wait(ui.launch(["rl_prompts"], config)) == "SUCCESS"
    after = tiny_line.pointer("tiny/rl_prompts")
    assert before is not None and after is not None and before.data_version != after.data_version
    made = tiny_line.current("tiny/rl_prompts")
    assert made is not None and made.manifest.config["validation_rows"] == 5


def test_an_unknown_option_is_refused_before_anything_runs(ui: Ui) -> None:
    with pytest.raises(AssertionError, match="RunConfigValidationInvalid"):
        ui.launch(["rl_prompts"], {"ops": {"tiny__rl_prompts": {"config": {"rows": 5}}}})


@pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="needs chromium")
def test_the_graph_shows_in_a_browser(ui: Ui, tiny_line: Store, tmp_path: Path) -> None:
    assert CHROMIUM is not None, "chromium is required in CI"
    picture = tmp_path / "graph.png"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    wait = ["--window-size=1600,1000", "--virtual-time-budget=30000", f"--screenshot={picture}"]
    page = f"{ui.url}/asset-groups"
    subprocess.run([CHROMIUM, *FLAGS, profile, *wait, page], check=True, timeout=120, capture_output=True)
    dump = subprocess.run(
        [CHROMIUM, *FLAGS, profile, "--virtual-time-budget=30000", "--dump-dom", page],
        check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert picture.stat().st_size > 20_000
    assert "tiny" in dump.stdout and "arithmetic" in dump.stdout
