"""A line of a person's own that is right, and the command run on it as a person runs it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = """\
line: mine
base_model: {random: llama}
verifier: {type: exact}
data:
  sources:
    - {name: questions, type: jsonl, path: rows.jsonl, format: auto}
    - {name: asked, type: reasoning_gym, purpose: preference, num_rows: 20, seed: 2}
datasets:
  mix: {type: mix, weights: {questions: 1.0}}
  pairs: {type: on_policy_pairs, policy: sft}
training:
  - {name: sft, data: mix, objective: {type: sft}, update: {type: lora}}
  - {name: dpo, start: sft, data: pairs, objective: {type: dpo}, update: {type: lora}}
"""
ROWS = "".join(
    json.dumps({"prompt": f"What is the capital of land number {n}?", "completion": f"#### town {n}"}) + "\n"
    for n in range(8)
)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the line ``mine``, in a home of its own."""
    folder = tmp_path / "recipes" / "mine"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "rows.jsonl").write_text(ROWS)
    monkeypatch.setenv("KT_RECIPES", str(folder.parent))
    monkeypatch.setenv("KT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return folder


@pytest.fixture
def kt(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """``kt("validate", "mine")``: exit code and everything printed, paths under the test's folder cut to ``…``."""

    def run(*arguments: str) -> tuple[int, str]:
        from kt_assets.cli.main import main

        monkeypatch.setattr(sys, "argv", ["kt", *arguments])
        monkeypatch.setenv("COLUMNS", "10000")
        with pytest.raises(SystemExit) as end:
            main()
        printed = "".join(capsys.readouterr())
        return int(end.value.code or 0), printed.replace(str(mine.parent.parent), "…")

    return run
