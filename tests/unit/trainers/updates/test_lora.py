"""LoRA's options as PEFT gets them, and the types its tensors are trained in."""

import pytest
import torch
from pydantic import ValidationError

from kt_resources.trainers.updates.dora import Dora
from kt_resources.trainers.updates.lora import Lora
from kt_resources.trainers.updates.rslora import Rslora


class Layer(torch.nn.Module):
    """What LoRA's options need of a model: a layer, and what PEFT asks of a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = torch.nn.ModuleDict({"up_proj": torch.nn.Linear(4, 4)})

    def get_output_embeddings(self) -> None:
        """No head."""

    def prepare_inputs_for_generation(self) -> None:
        """PEFT asks for it."""


def test_defaults() -> None:
    config = Lora().peft_config(Layer(), 1)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (16, 32, 0.0)
    assert (config.target_modules, config.use_rslora, config.use_dora) == ({"up_proj"}, False, False)


def test_alpha_follows_the_rank_unless_it_is_given() -> None:
    assert Lora(r=8).peft_config(Layer(), 1).lora_alpha == 16
    assert Lora(r=8, alpha=4).peft_config(Layer(), 1).lora_alpha == 4


def test_rslora_scales_by_the_root_of_the_rank() -> None:
    """alpha / √r = 8 / √16 = 2 instead of 8 / 16 = 0.5."""
    from peft import get_peft_model

    for strategy, scale in ((Lora, 0.5), (Rslora, 2.0)):
        model = Layer()
        adapted = get_peft_model(model, strategy(r=16, alpha=8).peft_config(model, 1))
        assert adapted.base_model.model.mlp["up_proj"].scaling["default"] == scale


def test_dora_is_lora_with_magnitudes_kept_in_float32() -> None:
    assert Dora().peft_config(Layer(), 1).use_dora
    assert Dora().trainable_dtype("x.lora_magnitude_vector.default.weight", "bf16") == torch.float32
    assert Dora().trainable_dtype("x.lora_A.default.weight", "bf16") == torch.bfloat16
    assert Lora().trainable_dtype("x.lora_A.default.weight", "fp16") == torch.float32


@pytest.mark.parametrize("options", [{"r": 0}, {"dropout": 1.0}, {"alpha": -1}, {"rank": 8}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Lora.model_validate(options)
