"""Prefix tuning: a cache of trained keys and values, which recomputed activations would lose."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kt_resources.trainers.updates.prefix_tuning import PrefixTuning


def test_keys_and_values_of_every_layer_are_trained(tiny_model_dir: Path) -> None:
    """2 layers · 2 (keys and values) · 20 virtual tokens · 32 (two heads of 16)."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    adapted = get_peft_model(model, PrefixTuning().peft_config(model, 1))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 2 * 2 * 20 * 32


def test_gradient_checkpointing_is_refused(make_spec: Any) -> None:
    with pytest.raises(ValidationError, match="cannot train with gradient_checkpointing"):
        make_spec("sft", "prefix_tuning", optimization={"gradient_checkpointing": True})
