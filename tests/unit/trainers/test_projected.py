"""AdamW on projected gradients: one step worked out, the state's size, and going on after a checkpoint."""

import pytest
import torch

from kt_resources.trainers.projected import MasterProjectedAdamW, ProjectedAdamW, directions, projected, projected_back

OPTIONS = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0, "update_every": 2, "scale": 0.5}


def test_one_step_worked_out() -> None:
    """G = 3·e₁e₁ᵀ + 1·e₂e₂ᵀ at rank 1: P = ±e₁, R = ±(3, 0, 0), Adam's first step is its sign, ±(1, 0, 0); back it is
    e₁e₁ᵀ whatever the sign, and W moves by −0.1 · 0.5 there alone."""
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    weight.grad = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    ProjectedAdamW([{"params": [weight], "rank": 1}], **OPTIONS).step()
    assert torch.allclose(weight, torch.tensor([[-0.05, 0.0, 0.0], [0.0, 0.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_all_directions_give_the_gradient_back(shape: tuple[int, int]) -> None:
    gradient = torch.randn(shape)
    along = directions(gradient, 4)
    assert along.shape == (4, 4)
    assert torch.allclose(projected_back(projected(gradient, along), along, gradient.shape), gradient, atol=1e-5)


def test_without_a_rank_it_is_adamw() -> None:
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 6).reshape(2, 3)) for _ in range(2))
    options = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
    optimizers = ProjectedAdamW([{"params": [ours]}], **{**OPTIONS, **options}), torch.optim.AdamW([theirs], **options)
    for step in range(4):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = torch.linspace(1, 2, 6).reshape(2, 3) * (step - 1.5)
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def _numbers(optimizer: torch.optim.Optimizer) -> int:
    return sum(t.numel() for state in optimizer.state.values() for t in state.values() if t.dim())


def test_its_state_is_smaller_than_adamws() -> None:
    """64 × 192 at rank 8: 2 · 8 · 192 + 64 · 8 = 3,584 numbers instead of 2 · 64 · 192 = 24,576."""
    one, other = (torch.nn.Parameter(torch.zeros(64, 192)) for _ in range(2))
    for parameter in (one, other):
        parameter.grad = torch.randn(64, 192)
    ours, theirs = ProjectedAdamW([{"params": [one], "rank": 8}], **OPTIONS), torch.optim.AdamW([other])
    ours.step()
    theirs.step()
    assert (_numbers(ours), _numbers(theirs)) == (3584, 24576)


def test_a_restored_optimizer_goes_on_as_the_first_would() -> None:
    """Directions are chosen anew at steps 1, 3 and 5; the state between them is restored."""
    gradients = [torch.randn(4, 6) for _ in range(5)]
    whole, broken = (torch.nn.Parameter(torch.zeros(4, 6, dtype=torch.bfloat16)) for _ in range(2))
    _steps(MasterProjectedAdamW([{"params": [whole], "rank": 2}], **OPTIONS), whole, gradients)
    first = MasterProjectedAdamW([{"params": [broken], "rank": 2}], **OPTIONS)
    _steps(first, broken, gradients[:2])
    second = MasterProjectedAdamW([{"params": [broken], "rank": 2}], **OPTIONS)
    second.load_state_dict(first.state_dict())
    _steps(second, broken, gradients[2:])
    assert torch.equal(whole, broken)


def _steps(optimizer: torch.optim.Optimizer, parameter: torch.Tensor, gradients: list[torch.Tensor]) -> None:
    for gradient in gradients:
        parameter.grad = gradient.to(parameter.dtype)
        optimizer.step()
