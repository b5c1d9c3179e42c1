"""Layers by name or by intent in a random model of each family."""

from typing import Any

import pytest
import torch

from kt_resources.errors import TrainingError
from kt_resources.trainers.updates.targets import has_fused_experts, keys_and_values, last_of_mlp, target_names

SPLIT = (["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"])
FAMILIES = {
    "llama": SPLIT,
    "qwen2": SPLIT,
    "qwen3": SPLIT,
    "mistral": SPLIT,
    "gemma": SPLIT,
    "gemma2": SPLIT,
    "gemma3_text": SPLIT,
    "phi": (["q_proj", "k_proj", "v_proj", "dense"], ["fc1", "fc2"]),
    "phi3": (["o_proj", "qkv_proj"], ["gate_up_proj", "down_proj"]),
    "gpt_neox": (["query_key_value", "dense"], ["dense_h_to_4h", "dense_4h_to_h"]),
}
"""Family → layers of attention and of the MLP, as its model in transformers names them."""

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 64,
    "pad_token_id": 0,
}


def _model(family: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **SMALL)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(("family", "groups"), FAMILIES.items())
def test_intent_finds_the_layers_of_each_family(family: str, groups: tuple[list[str], list[str]]) -> None:
    """Every linear layer of a block belongs to one of the two groups; the output head to none."""
    model = _model(family)
    attention, mlp = groups
    assert sorted(target_names(model, "attention")) == sorted(attention)
    assert sorted(target_names(model, "mlp")) == sorted(mlp)
    assert target_names(model, "all-linear") == sorted(attention + mlp)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_goes_on_what_is_named(family: str) -> None:
    """LoRA on attention: one adapter a layer of attention, fused ones included, none elsewhere."""
    from peft import get_peft_model

    from kt_resources.trainers.updates.lora import Lora

    model = _model(family)
    adapted = get_peft_model(model, Lora(r=2, target_modules="attention").peft_config(model, 1))
    on = [name.split(".lora_A")[0].rpartition(".")[2] for name, _ in adapted.named_parameters() if "lora_A" in name]
    assert sorted(on) == sorted(FAMILIES[family][0])


@pytest.mark.parametrize(
    ("family", "attention", "mlp"),
    [
        ("llama", ["k_proj", "v_proj"], ["down_proj"]),
        ("phi", ["k_proj", "v_proj"], ["fc2"]),
        ("phi3", ["qkv_proj"], ["down_proj"]),
        ("gpt_neox", ["query_key_value"], ["dense_4h_to_h"]),
    ],
)
def test_keys_values_and_the_mlps_last_layer(family: str, attention: list[str], mlp: list[str]) -> None:
    model = _model(family)
    assert (keys_and_values(model), last_of_mlp(model)) == (attention, mlp)


def test_names_are_taken_as_they_are() -> None:
    assert target_names(_model("llama"), ("q_proj", "mlp.up_proj")) == ["q_proj", "mlp.up_proj"]


def test_a_layer_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(TrainingError, match=r"(?s)no layer q_proj.*dense, .*query_key_value") as caught:
        target_names(_model("gpt_neox"), ("q_proj",))
    assert "update.target_modules" in str(caught.value)


def test_a_mixture_has_adapters_on_attention_alone() -> None:
    """The experts are one tensor a layer: all-linear is attention, and the MLP is refused with the reason."""
    model = _model("mixtral")
    assert has_fused_experts(model) and not has_fused_experts(_model("llama"))
    assert target_names(model, "all-linear") == ["k_proj", "o_proj", "q_proj", "v_proj"]
    with pytest.raises(TrainingError, match=r"no mlp layers; a mixture's experts.* take no adapter"):
        target_names(model, "mlp")
