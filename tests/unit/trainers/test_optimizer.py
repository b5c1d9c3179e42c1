"""AdamW with float32 copies: small updates to bfloat16 weights add up, and checkpoints hold them."""

from typing import Any

import pytest
import torch

from kt_resources.trainers.optimizer import MasterAdamW


def _steps(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, count: int) -> None:
    for _ in range(count):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        optimizer.zero_grad()


def test_updates_below_the_spacing_of_bfloat16_add_up() -> None:
    """Near 0.04 bfloat16 numbers stand 2⁻⁵ · 2⁻⁷ = 2.4e-4 apart; 100 steps of 1e-5 move by 1e-3, about four of them."""
    plain = torch.nn.Parameter(torch.full((4,), 0.04, dtype=torch.bfloat16))
    kept = torch.nn.Parameter(plain.detach().clone())
    start = plain.detach().float()
    _steps(torch.optim.AdamW([plain], lr=1e-5, weight_decay=0), plain, 100)
    _steps(MasterAdamW([{"params": [kept]}], lr=1e-5, weight_decay=0), kept, 100)
    assert torch.equal(plain.detach().float(), start)
    assert torch.allclose(start - kept.detach().float(), torch.full((4,), 1e-3), atol=2.4e-4)


def test_in_float32_it_is_adamw() -> None:
    one, other = (torch.nn.Parameter(torch.linspace(-1, 1, 5)) for _ in range(2))
    _steps(torch.optim.AdamW([one], lr=1e-2), one, 5)
    _steps(MasterAdamW([{"params": [other]}], lr=1e-2), other, 5)
    assert torch.equal(one, other)


def test_a_restored_optimizer_goes_on_as_the_first_would() -> None:
    whole = torch.nn.Parameter(torch.full((4,), 0.04, dtype=torch.bfloat16))
    first = torch.nn.Parameter(whole.detach().clone())
    _steps(MasterAdamW([{"params": [whole]}], lr=1e-5), whole, 60)
    interrupted = MasterAdamW([{"params": [first]}], lr=1e-5)
    _steps(interrupted, first, 30)
    saved = interrupted.state_dict()
    second = torch.nn.Parameter(torch.zeros(4, dtype=torch.bfloat16))
    resumed = MasterAdamW([{"params": [second]}], lr=1e-5)
    resumed.load_state_dict(saved)
    assert torch.equal(second, first)
    _steps(resumed, second, 30)
    assert torch.equal(second, whole)


def test_zero_grad_clears_the_models_gradients() -> None:
    parameter = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    optimizer = MasterAdamW([{"params": [parameter]}], lr=1e-2)
    parameter.grad = torch.ones_like(parameter)
    optimizer.zero_grad()
    assert parameter.grad is None


def test_in_a_step_gradients_are_held_in_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What AdamW sees has the copies' type, and the weights' own gradients are gone by then."""
    parameter = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = MasterAdamW([{"params": [parameter]}], lr=0.1)
    (copy,) = optimizer.param_groups[0]["params"]
    held: list[tuple[torch.dtype, bool]] = []
    whole = torch.optim.AdamW.step

    def seen(self: Any, closure: Any = None) -> Any:
        held.append((copy.grad.dtype, parameter.grad is None))
        return whole(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", seen)
    _steps(optimizer, parameter, 1)
    assert held == [(torch.float32, True)] and parameter[0] < 1
