"""LoRA as one function: PEFT's results and gradients, and PEFT's own code for whatever is not plain LoRA."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    from peft.tuners.lora import Linear

    before = Linear.forward
    yield
    Linear.forward = before


def _layer(**options: Any) -> Any:
    """A linear layer (6 → 5) under LoRA of rank 2, B not zero."""
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5, bias=False))
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["0"], **options)
    layer = inject_adapter_in_model(config, model)[0]
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    return layer.train()


def _result_and_gradients(layer: Any, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    (y * torch.arange(y.numel()).view_as(y)).sum().backward()
    return [y, x.grad, layer.lora_A["default"].weight.grad.clone(), layer.lora_B["default"].weight.grad.clone()]


def test_results_and_gradients_are_pefts(monkeypatch: pytest.MonkeyPatch) -> None:
    from kt_resources.trainers import lora_product

    layer, x = _layer(), torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr("peft.tuners.lora.Linear.forward", lora_product._peft_forward)
    expected = _result_and_gradients(layer, x)
    lora_product.add_lora_in_place()
    monkeypatch.setattr(lora_product, "_peft_forward", None)  # so that falling back would fail
    for one, other in zip(_result_and_gradients(layer, x), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_dropout": 0.5}, {"lora_bias": True}])
def test_what_is_not_plain_lora_is_left_to_peft(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from kt_resources.trainers import lora_product

    asked = []
    monkeypatch.setattr(lora_product, "_peft_forward", lambda layer, x: asked.append(layer) or x)
    lora_product.add_lora_in_place()
    layer = _layer(**options)
    layer(torch.randn(2, 6))
    assert asked == [layer]


def test_a_layer_whose_adapter_is_off_is_the_base_layer() -> None:
    from kt_resources.trainers.lora_product import add_lora_in_place

    add_lora_in_place()
    layer, x = _layer(), torch.randn(2, 6)
    layer.enable_adapters(False)
    assert torch.equal(layer(x), layer.base_layer(x))
