"""LoRA's options as PEFT gets them, and the types its tensors are trained in."""

import pytest
import torch
from pydantic import ValidationError

from kt_resources.trainers.updates.base import peft_targets
from kt_resources.trainers.updates.dora import Dora
from kt_resources.trainers.updates.lora import Lora
from kt_resources.trainers.updates.rslora import Rslora


def test_defaults() -> None:
    config = Lora().peft_config()
    assert (config.r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.0)
    assert (config.target_modules, config.use_rslora, config.use_dora) == ("all-linear", False, False)


def test_alpha_follows_the_rank_unless_it_is_given() -> None:
    assert Lora(r=8).peft_config().lora_alpha == 16
    assert Lora(r=8, alpha=4).peft_config().lora_alpha == 4


def test_groups_of_layers_by_name() -> None:
    assert Lora(target_modules="attention").peft_config().target_modules == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert peft_targets("mlp") == ["gate_proj", "up_proj", "down_proj"]
    assert peft_targets(("q_proj",)) == ["q_proj"]


def test_rslora_scales_by_the_root_of_the_rank() -> None:
    """alpha / √r = 8 / √16 = 2 instead of 8 / 16 = 0.5."""
    from peft import get_peft_model
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up_proj = nn.Linear(4, 4)

        def prepare_inputs_for_generation(self) -> None:
            """PEFT asks a language model for it."""

    for strategy, scale in ((Lora, 0.5), (Rslora, 2.0)):
        options = strategy(r=16, alpha=8, target_modules=("up_proj",))
        adapted = get_peft_model(Model(), options.peft_config())
        assert adapted.base_model.model.up_proj.scaling["default"] == scale


def test_dora_is_lora_with_magnitudes_kept_in_float32() -> None:
    assert Dora().peft_config().use_dora
    assert Dora().trainable_dtype("x.lora_magnitude_vector.default.weight", "bf16") == torch.float32
    assert Dora().trainable_dtype("x.lora_A.default.weight", "bf16") == torch.bfloat16
    assert Lora().trainable_dtype("x.lora_A.default.weight", "fp16") == torch.float32


@pytest.mark.parametrize("options", [{"r": 0}, {"dropout": 1.0}, {"alpha": -1}, {"rank": 8}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Lora.model_validate(options)
