"""AdaLoRA: the orthogonality term, ranks that fall to the target, and what is saved of them."""

import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from kt_resources.errors import TrainingError
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.updates.adalora import Adalora, orthogonality, without_lost_ranks


def test_the_orthogonality_term() -> None:
    """Rows of length 1 at right angles give 0; (2, 0) gives |4 − 1| = 3; the mean of both is 1.5."""
    assert orthogonality(iter([torch.eye(2)])).item() == 0
    assert orthogonality(iter([torch.eye(2), torch.tensor([[2.0, 0.0]])])).item() == pytest.approx(1.5)


def test_lost_ranks_are_not_saved() -> None:
    """Λ = (5, 0): B Λ A = 5 · (1, 0)ᵀ (1, 1) from one triplet."""
    layer = "base_model.model.q_proj."
    weights = {
        f"{layer}lora_E": torch.tensor([[5.0], [0.0]]),
        f"{layer}lora_A": torch.tensor([[1.0, 1.0], [7.0, 7.0]]),
        f"{layer}lora_B": torch.tensor([[1.0, 8.0], [0.0, 8.0]]),
    }
    left, config = without_lost_ranks(weights, {"init_r": 2})
    assert [left[f"{layer}lora_{side}"].tolist() for side in "EAB"] == [[[5.0]], [[1.0, 1.0]], [[1.0], [0.0]]]
    assert config == {"init_r": 2, "rank_pattern": {"q_proj.lora_E": [True, False]}}


def _spec(make_spec: Any, steps: int = 10, **options: Any) -> TrainSpec:
    optimization = {"micro_batch_size": 8, "max_steps": steps, "learning_rate": 1e-2, "num_evals": 1}
    spec = make_spec("dpo", "adalora", optimization=optimization)
    return spec.model_copy(update={"update": Adalora(**options)})


def test_ranks_fall_to_the_target_and_answers_stay(make_spec: Any, run: Any) -> None:
    """14 layers at 12 → 4 on average: 56 ranks are left of 168, unevenly; a DPO trainer returns no model loss."""
    spec = _spec(make_spec)
    facts = run(spec)["facts"]
    pattern = json.loads((spec.out_dir / "adapter" / "adapter_config.json").read_text())["rank_pattern"]
    ranks = [sum(kept) for kept in pattern.values()]
    assert (len(ranks), sum(ranks)) == (14, 56)
    assert len(set(ranks)) > 1
    assert facts["trained_saved_max_logit_diff"] < 1e-5


def test_the_term_is_learned_beside_any_objective(make_spec: Any, run: Any) -> None:
    """Its gradient alone, at a weight of 100, brings A's and B's singular vectors nearer to right angles."""
    from safetensors.torch import load_file

    apart = []
    for weight in (0.0, 100.0):
        spec = _spec(make_spec, orthogonality=weight, warmup=0.5, target_r=11)
        spec = spec.model_copy(
            update={"out_dir": spec.out_dir / str(weight), "scratch_dir": spec.scratch_dir / str(weight)}
        )
        run(spec)
        weights = load_file(spec.out_dir / "adapter" / "adapter_model.safetensors")
        apart.append(orthogonality(t if "_A" in n else t.T for n, t in weights.items() if "lora_E" not in n).item())
    assert apart[1] < 0.9 * apart[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"target_r": 12}, "not below init_r"), ({"warmup": 0.6, "settle": 0.4}, "no steps"), ({"r": 8}, "r")],
)
def test_ranks_that_cannot_fall_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Adalora.model_validate(options)


def test_a_single_step_is_refused(make_spec: Any, run: Any) -> None:
    with pytest.raises(TrainingError, match="within 1 step"):
        run(_spec(make_spec, steps=1))
