"""PiSSA: the start is unchanged, the largest singular values are trained, the saved adapter goes on the start."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch


def test_the_adapter_begins_with_the_largest_singular_values(tiny_model_dir: Path) -> None:
    """W = 2·u₁v₁ᵀ + 1·u₂v₂ᵀ at rank 1: the adapter is 2·u₁v₁ᵀ, and 1·u₂v₂ᵀ stays frozen."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers.updates.pissa import Pissa

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    left, right = torch.eye(64), torch.eye(64)
    weight = 2 * left[:, :1] @ right[:1] + left[:, 1:2] @ right[1:2]
    model.model.layers[0].self_attn.q_proj.weight.data = weight.clone()
    strategy = Pissa(r=1, target_modules=("q_proj",))
    layer = get_peft_model(model, strategy.peft_config(model, 1)).base_model.model.model.layers[0].self_attn.q_proj
    assert torch.allclose(layer.get_delta_weight("default"), 2 * left[:, :1] @ right[:1], atol=1e-6)
    assert torch.allclose(layer.base_layer.weight, left[:, 1:2] @ right[1:2], atol=1e-6)


def test_the_reference_of_a_preference_is_the_start_not_the_residual(make_spec: Any, run: Any) -> None:
    """Before the first step policy and reference agree: the loss is −log σ(0) = log 2."""
    facts = run(make_spec("dpo", "pissa"))["facts"]
    assert facts["start_eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert facts["final_eval_loss"] < facts["start_eval_loss"]


def test_the_saved_adapter_is_pefts_own_conversion(tiny_model_dir: Path, tmp_path: Path) -> None:
    """B A − B₀ A₀ as ``save_pretrained(path_initial_model_for_weight_conversion=…)`` writes it."""
    from peft import PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers.saving import save_adapter
    from kt_resources.trainers.updates.pissa import Pissa

    start, strategy = AutoModelForCausalLM.from_pretrained(tiny_model_dir), Pissa(r=2, target_modules="attention")
    model = get_peft_model(start, strategy.peft_config(start, 1))
    model.save_pretrained(tmp_path / "initial")
    strategy.attach(model)
    for name, parameter in model.named_parameters():
        if ".default." in name:
            parameter.data += 0.01
    model.save_pretrained(tmp_path / "kept")
    save_adapter(*strategy.saved_adapter(tmp_path / "kept"), tmp_path / "ours")
    model.delete_adapter("ref")
    model.save_pretrained(tmp_path / "pefts", path_initial_model_for_weight_conversion=str(tmp_path / "initial"))
    deltas = []
    for folder in ("ours", "pefts"):
        start = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
        layer = PeftModel.from_pretrained(start, tmp_path / folder).base_model.model.model.layers[1].self_attn.o_proj
        deltas.append(layer.get_delta_weight("default"))
    assert deltas[0].abs().max() > 1e-3
    assert torch.allclose(deltas[0], deltas[1], atol=1e-7)


def test_more_ranks_than_a_layer_has_are_refused(tiny_model_dir: Path) -> None:
    """Keys and values of the tiny model are 32 × 64."""
    from kt_resources.errors import TrainingError
    from kt_resources.trainers.kinds import load_model
    from kt_resources.trainers.updates.pissa import Pissa

    model = load_model(tiny_model_dir)
    Pissa(r=32).peft_config(model, 1)
    Pissa(r=64, target_modules=("q_proj",)).peft_config(model, 1)
    with pytest.raises(TrainingError, match=r"(?s)k_proj \(32 × 64\) has no 33 singular values.*take r of 32 at most"):
        Pissa(r=33).peft_config(model, 1)
