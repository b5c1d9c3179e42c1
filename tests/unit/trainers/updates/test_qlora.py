"""Weights in 4 bits stay as training reads them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kt_resources.trainers.kinds import load_model
from kt_resources.trainers.updates.qlora import Qlora


def _gradient(model: Any) -> torch.Tensor:
    """Of the first block's normalization, behind every 4-bit layer; all of ``model`` is frozen but that."""
    scale = model.model.layers[0].input_layernorm.weight
    scale.requires_grad_(True)
    model.train()
    tokens = torch.arange(24).view(2, 12)
    model(input_ids=tokens, labels=tokens).loss.backward()
    return torch.as_tensor(scale.grad)


@pytest.fixture
def quantized(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model in 4 bits on a CPU for whose inference bitsandbytes has a layout of its own."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    update = Qlora()
    model = load_model(tiny_model_dir, dtype=torch.float32, **update.load_arguments("fp32"))
    update.prepare(model)
    return model.requires_grad_(False)


def test_answers_before_the_training_leave_its_gradients_alone(quantized: Any) -> None:
    before = _gradient(quantized).clone()
    quantized.zero_grad()
    quantized.eval()
    with torch.no_grad():
        quantized(input_ids=torch.arange(24).view(2, 12))
    assert _gradient(quantized).equal(before) and before.any()
