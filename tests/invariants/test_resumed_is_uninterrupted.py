"""A run that was stopped and resumed ends with the weights of one that was not, bit for bit."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
    stop_at: Any,
    weights: Any,
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
    from kt_resources.trainers import training

    monkeypatch.setattr(training, "usable", lambda spec: spec)
    whole = make_spec("whole", objective, update, STEPS, precision=precision)
    broken = make_spec("broken", objective, update, STEPS, precision=precision)
    run(whole)
    stop_at(5)
    with pytest.raises(Stopped):
        run(broken)
    assert (broken.scratch_dir / "checkpoints" / "checkpoint-4").is_dir()
    stop_at(0)
    run(broken)
    expected, found = weights(whole), weights(broken)
    assert all(found[name].equal(expected[name]) for name in expected)
    assert (broken.out_dir / "facts.json").read_text() == (whole.out_dir / "facts.json").read_text()
    assert curve(broken) == curve(whole)


def test_stopped_between_checkpoints_of_the_first_epoch(make_spec: Any, run: Any, stop_at: Any, weights: Any) -> None:
    """The crash after step 3 leaves the checkpoint of step 2: step 3 is done again."""
    whole, broken = (make_spec(name, "grpo", {"type": "lora"}, STEPS) for name in ("whole", "broken"))
    run(whole)
    stop_at(3)
    with pytest.raises(Stopped):
        run(broken)
    stop_at(0)
    run(broken)
    expected, found = weights(whole), weights(broken)
    assert all(found[name].equal(expected[name]) for name in expected)


def test_a_half_written_checkpoint_is_passed_over(make_spec: Any, run: Any, stop_at: Any, weights: Any) -> None:
    whole, broken = (make_spec(name, "sft", {"type": "lora"}, STEPS) for name in ("whole", "broken"))
    run(whole)
    stop_at(5)
    with pytest.raises(Stopped):
        run(broken)
    state = broken.scratch_dir / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    stop_at(0)
    run(broken)
    expected, found = weights(whole), weights(broken)
    assert all(found[name].equal(expected[name]) for name in expected)


def test_a_finished_run_is_not_trained_again(make_spec: Any, run: Any, stop_at: Any, weights: Any) -> None:
    """A crash after training, while saving: the next run goes straight to saving."""
    spec = make_spec("one", "sft", {"type": "lora"}, STEPS)
    run(spec)
    first = weights(spec)
    (spec.out_dir / "model" / "model.safetensors").unlink()
    stop_at(6)
    run(spec)
    assert all(weights(spec)[name].equal(first[name]) for name in first)


@pytest.mark.slow
def test_killed_by_the_system(make_spec: Any, run: Any, launch: Any, weights: Any) -> None:
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
    expected, found = weights(whole), weights(killed)
    assert all(found[name].equal(expected[name]) for name in expected)


def _wait_for(path: Path, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)
