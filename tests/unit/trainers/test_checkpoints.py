"""Which checkpoint to resume from: the newest one that was written to its end."""

import json
from pathlib import Path

import pytest

from kt_resources.trainers.checkpoints import newest_complete, remove_after


def _checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors"):
        (path / name).write_bytes(b"x")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return path


def test_the_highest_step_wins_by_number(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        _checkpoint(tmp_path, step)
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize(
    "missing", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "adapter_model.safetensors", "trainer_state.json"]
)
def test_a_checkpoint_without_one_of_its_files_is_skipped(tmp_path: Path, missing: str) -> None:
    _checkpoint(tmp_path, 5)
    (_checkpoint(tmp_path, 10) / missing).unlink()
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-5"


def test_a_state_cut_in_half_is_skipped(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 5)
    (_checkpoint(tmp_path, 10) / "trainer_state.json").write_text('{"global_st')
    assert newest_complete(tmp_path) == tmp_path / "checkpoint-5"


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    assert newest_complete(tmp_path / "absent") is None
    (tmp_path / "checkpoint-x").mkdir()
    assert newest_complete(tmp_path) is None


def test_later_half_written_checkpoints_are_removed(tmp_path: Path) -> None:
    kept = _checkpoint(tmp_path, 5)
    (_checkpoint(tmp_path, 10) / "optimizer.pt").unlink()
    remove_after(tmp_path, kept)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]
    remove_after(tmp_path, None)
    assert not list(tmp_path.iterdir())
