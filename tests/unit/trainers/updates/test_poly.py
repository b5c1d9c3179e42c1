"""A mixture of experts: its weights, its splits, and that it is one LoRA once trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kt_resources.trainers.updates.poly import mixture


def test_two_experts_are_mixed_by_their_weights() -> None:
    """z = (0, 0): w = (½, ½). A = ½·1 + ½·3 = 2, B = ½·10 + ½·20 = 15; z = (0, −100) takes the first alone."""
    down, up = torch.tensor([[[[1.0]], [[3.0]]]]), torch.tensor([[[[10.0]], [[20.0]]]])
    for logits, expected in (((0.0, 0.0), (2.0, 15.0)), ((0.0, -100.0), (1.0, 10.0))):
        first, second = mixture(down, up, torch.tensor([logits]))
        assert (first.item(), second.item()) == pytest.approx(expected)


@pytest.mark.parametrize("splits", [1, 2])
def test_it_is_what_pefts_layer_computes(splits: int) -> None:
    """W x + B A x / r of a layer 4 → 6 with three experts of rank 2, weights away from equal."""
    from peft import PolyConfig
    from peft.tuners.poly import Linear

    torch.manual_seed(0)
    base = torch.nn.Linear(4, 6)
    config = PolyConfig(r=2, n_tasks=1, n_skills=3, n_splits=splits, init_weights=False)
    layer = Linear(base, "default", config).eval()
    logits = layer.poly_router["default"].module_logits
    logits.data.normal_()
    down, up = mixture(layer.poly_lora_A["default"].data, layer.poly_lora_B["default"].data, logits.data)
    x = torch.randn(2, 3, 4)
    found = layer(x, task_ids=torch.zeros(2, dtype=torch.long))
    assert torch.allclose(found, base(x) + x @ down.T @ up.T / 2, atol=1e-5)


def test_the_artifact_is_a_lora_and_its_merge(make_spec: Any, run: Any) -> None:
    spec = make_spec("dpo", "poly")
    facts = run(spec)["facts"]
    config = json.loads((spec.out_dir / "adapter" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 8, 1.0)
    assert facts["trained_saved_max_logit_diff"] < 1e-5
    assert facts["adapter_merged_max_logit_diff"] < 1e-5


def test_splits_that_do_not_divide_a_layer_are_refused(tiny_model_dir: Path) -> None:
    """Queries of the tiny model are 64 × 64: in 2 parts, not in 3."""
    from kt_resources.errors import TrainingError
    from kt_resources.trainers.kinds import load_model
    from kt_resources.trainers.updates.poly import Poly

    model = load_model(tiny_model_dir)
    Poly(splits=2).peft_config(model, 1)
    with pytest.raises(TrainingError, match=r"(?s)update.splits: .*q_proj \(64 × 64\) cannot be cut into 3 .*divides"):
        Poly(splits=3).peft_config(model, 1)
