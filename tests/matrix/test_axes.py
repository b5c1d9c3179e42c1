"""Each value of both axes at least once: every objective with LoRA, and every update strategy with SFT."""

from pathlib import Path

import pytest

from benchmarks.matrix.axes import AIMS
from benchmarks.matrix.cell import Outcome, prepare, try_cell
from benchmarks.matrix.table import page
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.updates import UPDATES

CELLS = [
    *((objective, "lora") for objective in OBJECTIVES),
    *(("sft", update) for update in UPDATES),
]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("matrix")
    prepare(folder)
    return folder


@pytest.mark.parametrize(("objective", "update"), dict.fromkeys(CELLS))
def test_a_cell_learns_reloads_and_merges(objective: str, update: str, prepared: Path, tmp_path: Path) -> None:
    outcome = try_cell(objective, update, prepared, tmp_path / "cell")
    assert outcome.status in ("learned", "refused"), outcome
    assert outcome.status == "learned" or outcome.reason


def test_a_cell_that_learned_nothing_is_seen(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.matrix.cell.LEARNING_RATES", {"lora": 1e-9})
    assert try_cell("sft", "lora", prepared, tmp_path / "cell").status == "learned too little"


def test_every_objective_has_its_aim() -> None:
    assert set(AIMS) == set(OBJECTIVES)


def test_the_page_shows_gains_and_gives_every_other_cell_a_reason() -> None:
    outcomes = [
        Outcome("sft", "full", "learned", start=3.0, final=2.0),
        Outcome("sft", "lora", "learned too little", start=3.0, final=2.9),
        Outcome("dpo", "full", "refused", reason="because"),
        Outcome("dpo", "lora", "failed", reason="ValueError: no"),
        Outcome("kto", "full", "refused", reason="because"),
    ]
    text = page(outcomes, ["sft", "dpo", "kto"], ["full", "lora"])
    assert "| sft | 0.5 | 1 | ✗ [1] |" in text
    assert "| dpo | 0.05 | — [2] | ✗ [3] |" in text
    assert "1. sft with lora: learned too little: from 3 to 2.9" in text
    assert "2. full: refused: because" in text
    assert "| kto | 0.05 | — [2] | · |" in text
