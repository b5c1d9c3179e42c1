"""The spec: torch-free, strict, with defaults that depend on both axes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization, TrainSpec
from kt_resources.trainers.updates import UPDATES


def test_importing_the_spec_imports_neither_torch_nor_dagster() -> None:
    code = (
        "import sys, kt_resources.trainers; "
        "print([name for name in ('torch', 'transformers', 'trl', 'peft', 'dagster') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("update", UPDATES)
def test_every_objective_pairs_with_every_update(
    make_spec: Callable[..., TrainSpec], monkeypatch: pytest.MonkeyPatch, objective: str, update: str
) -> None:
    """But for a reward model, which other steps read whole, under a soft prompt, which leaves no model."""
    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:1x24")  # LoftQ asks for a GPU
    if objective == "reward_model" and not UPDATES[update].mergeable:
        with pytest.raises(ValidationError, match="leaves an adapter only"):
            make_spec(objective, update)
        return
    spec = make_spec(objective, update)
    assert isinstance(spec.objective, OBJECTIVES[objective])
    assert isinstance(spec.update, UPDATES[update])
    assert TrainSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_default_learning_rate_is_lower_where_all_weights_change(make_spec: Callable[..., TrainSpec]) -> None:
    rates = {update: make_spec("sft", update, optimization={}).learning_rate for update in ("lora", "full")}
    assert rates == {"lora": 2e-4, "full": 2e-5}
    assert make_spec("sft", "full", optimization={"learning_rate": 3e-4}).learning_rate == 3e-4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("objective", {"type": "sft", "bta": 1}),
        ("objective", {"type": "ppo"}),
        ("update", {"type": "lora", "r": 0}),
        ("optimization", {"learning_rate": -1}),
        ("precision", "int8"),
    ],
)
def test_a_wrong_value_is_refused_by_name(make_spec: Callable[..., TrainSpec], field: str, value: object) -> None:
    fields = make_spec().model_dump() | {field: value}
    with pytest.raises(ValidationError, match=field):
        TrainSpec.model_validate(fields)


def test_grpo_without_a_verifier_is_refused(make_spec: Callable[..., TrainSpec]) -> None:
    with pytest.raises(ValidationError, match="needs a verifier"):
        make_spec("grpo", verifier={"type": "none"})


def test_optimization_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Optimization().seed = 1  # type: ignore[misc]


def test_the_spec_needs_where_to_write() -> None:
    with pytest.raises(ValidationError, match="out_dir"):
        TrainSpec.model_validate({"model_dir": Path("m")})
