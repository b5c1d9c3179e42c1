"""When to evaluate and to save."""

from types import SimpleNamespace

import pytest

from kt_resources.trainers.pace import Pace
from kt_resources.trainers.spec import Optimization, eval_pace, num_checkpoints

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


def saved_steps(steps: int, step_s: float, write_s: float, evaluate_s: float = 0.0) -> list[int]:
    """Of a run whose steps, checkpoints and held-out judgements before them take so long."""
    clock = Clock()
    pace = Pace(Optimization(), evaluates=True, clock=clock)
    clock.now += 500  # loading
    pace.on_train_begin(ALONE, None, None)
    saved = []
    for number in range(1, steps + 1):
        clock.now += step_s
        if step(pace, number, steps)[1]:
            saved.append(number)
            clock.now += evaluate_s
            with pace.writing():
                clock.now += write_s
    return saved


@pytest.mark.parametrize(
    ("write_s", "saved"), [(0.1, [3, 6, 9, 12, 15, 18, 20]), (3.0, [3, 9, 15, 20]), (60.0, [3, 20])]
)
def test_a_checkpoint_is_earned_by_training(write_s: float, saved: list[int]) -> None:
    """Steps of 10 s: the first after half a minute, the next ones when writing takes a twentieth of the time at most,
    and one after the last step. What is judged before it is not taken for writing."""
    assert saved_steps(20, 10.0, write_s) == saved
    assert saved_steps(20, 10.0, write_s, evaluate_s=5.0)[:2] == saved[:2]


@pytest.mark.parametrize(("minutes", "write_s"), [(0.4, 3), (1, 3), (10, 3), (10, 84), (60, 0.5), (60, 84), (2, 60)])
def test_the_plan_counts_as_many_checkpoints(minutes: float, write_s: float) -> None:
    """Its seconds of training are without those of writing."""
    assert len(saved_steps(int(minutes * 60), 1.0, write_s)) == num_checkpoints(minutes * 60, write_s)


def test_one_slow_write_does_not_put_off_the_next_for_ever() -> None:
    clock = Clock()
    pace = Pace(Optimization(), evaluates=False, clock=clock)
    for write_s in (1.0, 600.0):
        with pace.writing():
            clock.now += write_s
    clock.now += 31
    assert step(pace, 1, 100) == (False, True)


def test_no_checkpoint_comes_between_steps_that_share_completions() -> None:
    pace, sharing = (
        Pace(Optimization(checkpoint_steps=3), evaluates=False),
        SimpleNamespace(world_size=1, num_iterations=2),
    )
    saved = []
    for number in range(1, 14):
        control = SimpleNamespace(should_evaluate=False, should_save=False, should_log=False)
        pace.on_step_end(sharing, SimpleNamespace(global_step=number, max_steps=13), control)
        saved += [number] if control.should_save else []
    assert saved == [6, 12, 13]
