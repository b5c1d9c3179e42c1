"""The frozen output head on a CPU: TRL's figures and gradients, and the formula's."""

from collections.abc import Iterator

import pytest
import torch

OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def _inputs(tokens: int = 7, vocabulary: int = 23) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, 5, generator=generator)
    weight = torch.randn(vocabulary, 5, generator=generator)
    return hidden, weight, torch.randint(0, vocabulary, (tokens,), generator=generator)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three tokens a tile, so that seven take three tiles."""
    from kt_resources.trainers import head

    monkeypatch.setattr(head, "TILE_ELEMENTS", 3 * 23)
    yield


def _by_trl(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, scale: float
) -> tuple[torch.Tensor, ...]:
    from trl.kernels import ChunkedLogProbFunction

    return ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1 / scale, 8, None, 1.0, OUTPUTS)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_every_figure_is_trls(small_tiles: None, scale: float) -> None:
    from kt_resources.trainers.head import HeadLogProbs

    hidden, weight, targets = _inputs()
    mine = HeadLogProbs.apply(hidden, weight, None, targets, 1 / scale, 8, None, 1.0, OUTPUTS)
    for name, one, other in zip(OUTPUTS, mine, _by_trl(hidden, weight, targets, scale), strict=True):
        assert torch.allclose(one.float(), other.float(), atol=1e-5), name


def test_a_figure_not_asked_for_is_none() -> None:
    from kt_resources.trainers.head import HeadLogProbs

    hidden, weight, targets = _inputs()
    figures = HeadLogProbs.apply(hidden, weight, None, targets, 1.0, 8, None, 1.0, ("log_probs",))
    assert figures[0] is not None and figures[1:] == (None, None, None, None)


def test_the_gradient_is_that_of_log_softmax(small_tiles: None) -> None:
    from kt_resources.trainers.head import HeadLogProbs

    hidden, weight, targets = _inputs()
    mine, plain = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    weights_of_tokens = torch.linspace(-1, 2, 7)  # every token with an upstream gradient of its own
    (
        HeadLogProbs.apply(mine, weight, None, targets, 2.0, 8, None, 1.0, OUTPUTS)[0] * weights_of_tokens
    ).sum().backward()
    log_probs = (plain @ weight.T / 2.0).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    (log_probs * weights_of_tokens).sum().backward()
    assert torch.allclose(mine.grad, plain.grad, atol=1e-5)


def test_an_entropy_has_its_gradient_too(small_tiles: None) -> None:
    from kt_resources.trainers.head import HeadLogProbs

    hidden, weight, targets = _inputs()
    mine, plain = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    log_probs, entropy, *_ = HeadLogProbs.apply(mine, weight, None, targets, 2.0, 8, None, 1.0, OUTPUTS)
    (log_probs.sum() + 0.3 * entropy.sum()).backward()
    logs = (plain @ weight.T / 2.0).log_softmax(-1)
    (logs.gather(1, targets[:, None]).sum() - 0.3 * (logs.exp() * logs).sum()).backward()
    assert torch.allclose(mine.grad, plain.grad, atol=1e-5)


def test_no_labelled_token_gives_no_gradient_and_no_error() -> None:
    from kt_resources.trainers.head import HeadLogProbs

    hidden, weight, targets = _inputs(tokens=0)
    hidden.requires_grad_()
    log_probs = HeadLogProbs.apply(hidden, weight, None, targets, 1.0, 8, None, 1.0, OUTPUTS)[0]
    log_probs.sum().backward()
    assert hidden.grad.shape == (0, 5)


def test_a_head_that_trains_is_left_to_trl() -> None:
    from kt_resources.trainers.head import HeadLogProbs

    hidden, weight, targets = _inputs()
    weight.requires_grad_()
    HeadLogProbs.apply(hidden, weight, None, targets, 1.0, 8, None, 1.0, OUTPUTS)[0].sum().backward()
    assert weight.grad.abs().sum() > 0
