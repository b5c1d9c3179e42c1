"""VeRA: diag(b) B diag(d) A, the same A and B in layers of different shapes."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from kt_resources.trainers.updates.vera import Vera


def test_layers_of_different_shapes_share_slices_of_one_pair(tiny_model_dir: Path) -> None:
    """k_proj is 32 × 64 and down_proj 64 × 192: A is r × 192 and B 64 × r; trained are r + 32 and r + 64 numbers."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    config = Vera(r=8, target_modules=("k_proj", "down_proj")).peft_config(model, 1)
    adapted = get_peft_model(model, config)
    block = adapted.base_model.model.model.layers[0]
    a, b = adapted.base_model.vera_A["default"], adapted.base_model.vera_B["default"]
    assert (a.shape, b.shape) == ((8, 192), (64, 8))
    for layer, rows, columns in ((block.self_attn.k_proj, 32, 64), (block.mlp.down_proj, 64, 192)):
        layer.vera_lambda_b["default"].data.fill_(2.0)
        layer.vera_lambda_d["default"].data.fill_(0.5)
        assert torch.allclose(layer.get_delta_weight("default"), b[:rows] @ a[:, :columns], atol=1e-6)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert trained == 2 * (8 + 32 + 8 + 64)


@pytest.mark.parametrize("options", [{"r": 0}, {"d_initial": 0}, {"rank": 8}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Vera.model_validate(options)
