"""The keeper: the best weights stay, a tie goes to the later step, the start is judged but not kept."""

from pathlib import Path

import pytest

from kt_resources.trainers.keeper import Keeper


def _judge(keeper: Keeper, step: int, value: float) -> None:
    def save(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "weights").write_text(str(step))

    keeper.judge(step, {keeper.metric: value}, save, writes=True)


@pytest.mark.parametrize(
    ("greater_is_better", "values", "best"),
    [
        (False, {1: 3.0, 2: 1.0, 3: 2.0}, 2),
        (True, {1: 0.1, 2: 0.5, 3: 0.2}, 2),
        (True, {1: 0.0, 2: 0.0, 3: 0.0}, 3),
        (False, {1: 2.0, 2: float("nan")}, 1),
    ],
)
def test_the_best_step_is_kept(tmp_path: Path, greater_is_better: bool, values: dict[int, float], best: int) -> None:
    keeper = Keeper(tmp_path / "kept", "figure", greater_is_better)
    for step, value in values.items():
        _judge(keeper, step, value)
    assert keeper.kept is not None and keeper.kept["step"] == best
    assert (tmp_path / "kept" / "weights").read_text() == str(best)


def test_the_start_is_remembered_and_never_kept(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "kept", "eval_loss", greater_is_better=False)
    _judge(keeper, 0, 0.1)
    assert keeper.kept is None
    assert keeper.start == {"eval_loss": 0.1}
    _judge(keeper, 5, 9.0)
    assert keeper.kept is not None and keeper.kept["step"] == 5


def test_weights_half_written_in_a_crash_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "kept.part").mkdir()
    (tmp_path / "kept.part" / "weights").write_text("half")
    keeper = Keeper(tmp_path / "kept", "eval_loss", greater_is_better=False)
    assert keeper.kept is None
    _judge(keeper, 1, 1.0)
    assert (tmp_path / "kept" / "weights").read_text() == "1"


def test_steps_done_again_after_a_crash_replace_their_own_weights(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "kept", "eval_loss", greater_is_better=False)
    for step, value in ((10, 1.0), (5, 3.0), (10, 1.0)):
        _judge(keeper, step, value)
    assert keeper.kept is not None and keeper.kept["step"] == 10
