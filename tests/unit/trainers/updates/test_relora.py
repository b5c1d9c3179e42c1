"""ReLoRA: what a restart folds in, forgets and leaves as it was; the rate after it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kt_resources.trainers.updates.reference import REFERENCE, Low, added, fold_in, fold_in_again
from kt_resources.trainers.updates.relora import Relora

LAYER = "base_model.model.q_proj."


def _low(down: list[list[float]], up: list[list[float]], alpha: float) -> Low:
    weights = {f"{LAYER}lora_A.weight": torch.tensor(down), f"{LAYER}lora_B.weight": torch.tensor(up)}
    return Low(weights, {"r": len(down), "lora_alpha": alpha, "use_rslora": False})


def test_the_sum_of_adapters_is_one_of_the_ranks_sum() -> None:
    """2 · (1, 0)ᵀ(1, 2) − 3 · (0, 1)ᵀ(1, 1) = [[2, 4], [−3, −3]] at rank 2."""
    both = added([(1.0, _low([[1, 2]], [[1], [0]], 2)), (-1.0, _low([[1, 1]], [[0], [1]], 3))])
    assert (both.config["r"], both.scaling) == (2, 1.0)
    product = both.weights[f"{LAYER}lora_B.weight"] @ both.weights[f"{LAYER}lora_A.weight"]
    assert product.tolist() == [[2, 4], [-3, -3]]


def _adapted(tiny_model_dir: Path) -> Any:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    start = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    return get_peft_model(start, Relora(r=2).peft_config(start, 1))


def test_folding_in_keeps_the_model_and_its_start(tiny_model_dir: Path) -> None:
    """Twice trained and folded in: W + s B A answers as before, and W + ref is the start all the time."""
    torch.manual_seed(0)
    model, ids = _adapted(tiny_model_dir), torch.tensor([[5, 6, 7]])
    start = model(ids).logits.detach()
    for _ in range(2):
        for name, parameter in model.named_parameters():
            if ".lora_B.default." in name:
                parameter.data.normal_(std=0.1)
        trained = model(ids).logits.detach()
        fold_in(model)
        for name, parameter in model.named_parameters():
            if ".lora_B.default." in name:
                parameter.data.zero_()
        assert torch.allclose(model(ids).logits, trained, atol=1e-5)
        model.set_adapter(REFERENCE)
        assert torch.allclose(model(ids).logits, start, atol=1e-5)
        model.set_adapter("default")
    assert (trained - start).abs().max() > 0.01
    assert model.peft_config[REFERENCE].r == 4


def test_a_resumed_model_is_folded_in_again_bit_for_bit(tiny_model_dir: Path) -> None:
    from peft import set_peft_model_state_dict

    torch.manual_seed(0)
    model, resumed = _adapted(tiny_model_dir), _adapted(tiny_model_dir)
    for _ in range(3):
        for name, parameter in model.named_parameters():
            if ".default." in name:
                parameter.data.normal_(std=0.1)
        fold_in(model)
    low = Low.of(model, REFERENCE)
    resumed.add_adapter(REFERENCE, model.peft_config[REFERENCE])
    set_peft_model_state_dict(resumed, dict(low.weights), adapter_name=REFERENCE)
    fold_in_again(resumed)
    expected = {name: p for name, p in model.named_parameters() if "base_layer" in name}
    assert expected and all(torch.equal(resumed.get_parameter(name), p) for name, p in expected.items())


def test_the_rate_rises_again_after_each_restart() -> None:
    """40 steps, 3 restarts: cycles of 10 steps, 3 of them rising: a quarter, a half, three quarters, then whole."""
    rates = [Relora(restarts=3, warmup=0.3).rate_factor(step, 40) for step in range(40)]
    assert rates[:10] == [1.0] * 10
    assert rates[10:15] == rates[20:25] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_saved_adapter_holds_all_restarts(make_spec: Any, run: Any) -> None:
    """6 steps, 2 restarts: three adapters of rank 4; the schedule's rates and the reference of DPO follow."""
    optimization = {"micro_batch_size": 8, "max_steps": 6, "learning_rate": 1e-2, "lr_scheduler": "constant"}
    spec = make_spec("dpo", "relora", optimization=optimization)
    spec = spec.model_copy(update={"update": Relora(r=4, restarts=2, warmup=0.5)})
    facts = run(spec)["facts"]
    config = json.loads((spec.out_dir / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (12, 12)
    assert facts["trained_saved_max_logit_diff"] < 1e-4
    assert facts["adapter_merged_max_logit_diff"] < 1e-4
    rows = [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]
    rates = {row["step"]: row["learning_rate"] for row in rows if "learning_rate" in row}
    assert [rates[step] for step in (1, 2, 3, 4)] == pytest.approx([1e-2, 1e-2, 5e-3, 1e-2])
