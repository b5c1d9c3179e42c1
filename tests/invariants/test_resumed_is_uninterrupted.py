"""A run that was stopped and resumed ends with the weights of one that was not, bit for bit."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.trainers.spec import TrainSpec

STEPS = {"max_steps": 6, "checkpoint_steps": 2, "num_evals": 3}


class Stopped(Exception):
    """Stands for a crash."""


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Crash after the optimizer step of that number; 0 lets runs finish."""
    from kt_resources.trainers.pace import Pace

    original = Pace.on_step_end

    def set_step(step: int) -> None:
        def on_step_end(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            if state.global_step == step:
                raise Stopped
            return original(self, args, state, control, **kwargs)

        monkeypatch.setattr(Pace, "on_step_end", on_step_end)

    return set_step


@pytest.fixture
def crash(stop_at: Callable[[int], None], run: Any) -> Callable[[Any, int], None]:
    """Train a spec until it crashes after the optimizer step of that number; later runs finish."""

    def crash_after(spec: Any, step: int) -> None:
        stop_at(step)
        with pytest.raises(Stopped):
            run(spec)
        stop_at(0)

    return crash_after


@pytest.fixture
def same_weights(weights: Any) -> Callable[[Any, Any], bool]:
    """Whether two runs saved the same tensors, bit for bit."""

    def compare(one: Any, other: Any) -> bool:
        expected, found = weights(one), weights(other)
        return all(found[name].equal(expected[name]) for name in expected)

    return compare


@pytest.mark.parametrize(
    ("objective", "update", "precision"),
    [
        ("sft", {"type": "lora", "dropout": 0.1}, "fp32"),
        ("sft", {"type": "full"}, "fp32"),
        ("dpo", {"type": "lora"}, "fp32"),
        ("grpo", {"type": "lora"}, "fp32"),
        ("dapo", {"type": "lora"}, "fp32"),
        ("sft", {"type": "lora"}, "bf16"),
        ("sft", {"type": "pissa"}, "fp32"),
        ("sft", {"type": "adalora"}, "bf16"),
        ("sft", {"type": "galore", "r": 8}, "bf16"),
        ("sft", {"type": "relora", "restarts": 2}, "bf16"),
        ("sft", {"type": "adalora", "settle": 0.5}, "fp32"),
    ],
)
def test_stopped_in_the_second_epoch(
    make_spec: Any,
    run: Any,
    crash: Any,
    same_weights: Any,
    curve: Any,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    update: dict[str, Any],
    precision: str,
) -> None:
    """32 rows, 8 a step: epochs of four steps. The crash after step 5 leaves the checkpoint of step 4; dropout,
    sampled completions, bf16's float32 copies and AdaLoRA's ranks, before and after they have settled,
    GaLore's directions and ReLoRA's folds all take part.
    """
    monkeypatch.setattr("kt_resources.trainers.precision.usable", lambda spec: spec)
    whole = make_spec("whole", objective, update, STEPS, precision=precision)
    broken = make_spec("broken", objective, update, STEPS, precision=precision)
    run(whole)
    crash(broken, 5)
    assert (broken.scratch_dir / "checkpoints" / "checkpoint-4").is_dir()
    run(broken)
    assert same_weights(whole, broken)
    assert (broken.out_dir / "facts.json").read_text() == (whole.out_dir / "facts.json").read_text()
    assert curve(broken) == curve(whole)


def test_stopped_between_checkpoints_of_the_first_epoch(
    make_spec: Any, run: Any, crash: Any, same_weights: Any
) -> None:
    """The crash after step 3 leaves the checkpoint of step 2: step 3 is done again."""
    whole, broken = (make_spec(name, "grpo", {"type": "lora"}, STEPS) for name in ("whole", "broken"))
    run(whole)
    crash(broken, 3)
    run(broken)
    assert same_weights(whole, broken)


@pytest.mark.parametrize("objective", ["grpo", "dapo"])
def test_stopped_between_steps_that_share_completions(
    make_spec: Any, run: Any, crash: Any, same_weights: Any, objective: str
) -> None:
    """A checkpoint a step, but none after step 3, whose completions step 4 learns from too: both are done again."""
    asked = STEPS | {"checkpoint_steps": 1}
    whole, broken = (_twice(make_spec(name, objective, {"type": "lora"}, asked)) for name in ("whole", "broken"))
    run(whole)
    crash(broken, 4)
    assert sorted(one.name for one in (broken.scratch_dir / "checkpoints").iterdir()) == ["checkpoint-2"]
    run(broken)
    assert same_weights(whole, broken)


def _twice(spec: TrainSpec) -> TrainSpec:
    objective = spec.objective.model_dump() | {"num_iterations": 2}
    return TrainSpec.model_validate(spec.model_dump() | {"objective": objective})


def test_a_half_written_checkpoint_is_passed_over(make_spec: Any, run: Any, crash: Any, same_weights: Any) -> None:
    whole, broken = (make_spec(name, "sft", {"type": "lora"}, STEPS) for name in ("whole", "broken"))
    run(whole)
    crash(broken, 5)
    state = broken.scratch_dir / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    run(broken)
    assert same_weights(whole, broken)


def test_a_finished_run_is_not_trained_again(make_spec: Any, run: Any, stop_at: Any, weights: Any) -> None:
    """A crash after training, while saving: the next run goes straight to saving."""
    spec = make_spec("one", "sft", {"type": "lora"}, STEPS)
    run(spec)
    first = weights(spec)
    (spec.out_dir / "model" / "model.safetensors").unlink()
    stop_at(6)
    run(spec)
    assert all(weights(spec)[name].equal(first[name]) for name in first)


def test_another_precision_goes_on_in_the_one_it_began_in(
    make_spec: Any, run: Any, crash: Any, same_weights: Any
) -> None:
    """As after a crash on one machine and the next attempt on another, where bf16 is the fastest."""
    whole, broken = (make_spec(name, "sft", {"type": "lora"}, STEPS) for name in ("whole", "broken"))
    run(whole)
    crash(broken, 5)
    run(broken.model_copy(update={"precision": "bf16"}))
    assert same_weights(whole, broken)


def test_a_precision_that_is_not_to_be_had_any_more_starts_over(
    make_spec: Any, run: Any, crash: Any, same_weights: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = (make_spec(name, "sft", {"type": "lora"}, STEPS) for name in ("whole", "broken"))
    run(whole)
    crash(broken, 5)
    (broken.scratch_dir / "precision").write_text("fp16")
    run(broken)
    assert "starting over in fp32: this machine does not train in fp16" in capsys.readouterr().out
    assert same_weights(whole, broken)


EQUAL_AT_TIMES = "def score(completion, row):\n    return len(completion) % 2 if int(row['answer']) % 2 else 0.0\n"
"""Rewards that are equal within the groups of even answers: other prompts are drawn."""


def test_a_checkpoint_between_logged_steps_loses_no_count_and_no_draw(
    make_spec: Any, run: Any, crash: Any, same_weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second step is logged, the third has a checkpoint, the crash comes after the fifth."""
    from kt_resources.trainers import arguments

    monkeypatch.setattr(arguments, "LOGGED_STEPS", 3)
    (tmp_path / "rewards.py").write_text(EQUAL_AT_TIMES)
    verifier = {"type": "python", "path": f"{tmp_path / 'rewards.py'}:score", "answer_marker": None}
    steps = {"max_steps": 6, "checkpoint_steps": 3, "num_evals": 1}
    whole, broken = (
        make_spec(name, "dapo", {"type": "lora"}, steps, verifier=verifier) for name in ("whole", "broken")
    )
    facts = run(whole)["facts"]
    assert facts["redrawn_groups"] > 0
    crash(broken, 5)
    run(broken)
    assert (broken.out_dir / "facts.json").read_text() == (whole.out_dir / "facts.json").read_text()
    assert same_weights(whole, broken)


@pytest.mark.slow
def test_killed_by_the_system(make_spec: Any, run: Any, launch: Any, same_weights: Any) -> None:
    """SIGKILL to the real program once its second checkpoint stands."""
    steps = {"max_steps": 80, "checkpoint_steps": 5, "num_evals": 2, "learning_rate": 1e-3}
    whole, killed = (make_spec(name, "sft", {"type": "lora"}, steps) for name in ("whole", "killed"))
    process = launch(killed)
    _wait_for(killed.scratch_dir / "checkpoints" / "checkpoint-10")
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (killed.out_dir / "run" / "result.json").exists()
    again = launch(killed)
    assert again.wait(300) == 0, again.stdout.read()
    run(whole)
    assert same_weights(whole, killed)


def _wait_for(path: Path, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)
