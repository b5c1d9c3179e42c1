"""When to evaluate and to save."""

from types import SimpleNamespace

import pytest

from kt_resources.trainers.pace import Pace
from kt_resources.trainers.spec import Optimization, eval_pace

ALONE = SimpleNamespace(world_size=1)


class Clock:
    """Seconds that a test lets pass."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def step(pace: Pace, number: int, max_steps: int) -> tuple[bool, bool]:
    """Whether this step is evaluated, and saved."""
    control = SimpleNamespace(should_evaluate=False, should_save=False, should_log=False)
    pace.on_step_end(ALONE, SimpleNamespace(global_step=number, max_steps=max_steps), control)
    return control.should_evaluate, control.should_save


def test_evaluations_divide_the_run() -> None:
    assert eval_pace(Optimization(num_evals=5), 12) == 3
    assert eval_pace(Optimization(num_evals=5), 1000) == 200
    assert eval_pace(Optimization(eval_steps=7), 12) == 7


def test_the_last_step_is_always_evaluated_and_saved() -> None:
    pace = Pace(Optimization(eval_steps=4, checkpoint_steps=5), evaluates=True)
    flags = {number: step(pace, number, 9) for number in (3, 4, 5, 9)}
    assert flags == {3: (False, False), 4: (True, False), 5: (False, True), 9: (True, True)}
    assert step(Pace(Optimization(), evaluates=False), 9, 9) == (False, True)


@pytest.mark.parametrize(("write_s", "steps"), [(0.1, [4, 7, 10]), (3.0, [4, 10]), (60.0, [4])])
def test_a_checkpoint_is_earned_by_training(write_s: float, steps: list[int]) -> None:
    """Steps of 10 s: the first after half a minute, the next ones when writing takes a twentieth of the time at most.

    An evaluation of 5 s before it is not taken for writing.
    """
    clock = Clock()
    pace = Pace(Optimization(), evaluates=True, clock=clock)
    clock.now += 500  # loading
    pace.on_train_begin(ALONE, None, None)
    saved = []
    for number in range(1, 13):
        clock.now += 9.9 if number == 1 else 10.0
        if step(pace, number, 100)[1]:
            saved.append(number)
            clock.now += 5
            pace.on_evaluate(ALONE, None, None)
            clock.now += write_s
            pace.on_save(ALONE, None, None)
    assert saved == steps
