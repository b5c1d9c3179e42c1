"""Log-probabilities from a frozen output head, on a CPU: one projection forward, one back, and none again.

TRL's function projects the hidden states a second time in the backward pass, to save the memory of the logits, and
multiplies back in float32 in tiles of the vocabulary. On a CPU both cost more than they save: where the head does not
train, the gradient of a token's log-probability needs the softmax alone, which the forward pass has at hand.

Loaded only inside the training program; it imports torch at the top.
"""

from typing import Any

import torch
from torch.nn.functional import linear
from trl.kernels import ChunkedLogProbFunction

TILE_ELEMENTS = 2**24
"""Most logits in memory at once, in float32: 64 MB."""

Outputs = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]


class HeadLogProbs:
    """Stands in for TRL's ``ChunkedLogProbFunction``, and hands to it what is not its own case."""

    @staticmethod
    def apply(
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        softcap: float | None,
        logit_scale: float,
        outputs: tuple[str, ...],
    ) -> Outputs:
        """As TRL's: ``(log_probs, entropy, log_sum_sq_probs, mean_logits, is_top1)``, each (tokens,) or None."""
        simple = bias is None and softcap is None and hidden.dtype == weight.dtype and not weight.requires_grad
        if hidden.device.type == "cpu" and simple and not torch.is_autocast_enabled("cpu"):
            return FrozenHeadLogProbs.apply(hidden, weight, targets, logit_scale / temperature, outputs)
        return ChunkedLogProbFunction.apply(
            hidden, weight, bias, targets, temperature, chunk_size, softcap, logit_scale, outputs
        )


class FrozenHeadLogProbs(torch.autograd.Function):
    """log softmax(s · h Wᵀ) at the targets; ∂/∂h = s (W[target] − softmax · W), made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        scale: float,
        outputs: tuple[str, ...],
    ) -> Outputs:
        """Shapes: hidden (tokens, size), weight (vocabulary, size), targets (tokens,); figures in float32, nats."""
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        columns: dict[str, list[torch.Tensor]] = {name: [] for name in ("log_probs", *FIGURES)}
        rows = max(1, TILE_ELEMENTS // len(weight))
        for start in range(0, max(len(hidden), 1), rows):
            part, wanted = hidden[start : start + rows], targets[start : start + rows, None]
            logits = linear(part, weight).float().mul_(scale)
            probabilities = logits.softmax(-1)
            log_total = logits.logsumexp(-1)
            columns["log_probs"].append(logits.gather(1, wanted).squeeze(1) - log_total)
            for name in FIGURES:
                if name in outputs:
                    columns[name].append(FIGURES[name](logits, probabilities, log_total, wanted))
            if slopes is not None:
                mean = (probabilities.to(weight.dtype) @ weight).float()
                slopes[start : start + rows] = scale * (weight[wanted.squeeze(1)].float() - mean)
        ctx.save_for_backward(slopes, hidden, weight, targets)
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        figures = [torch.cat(column) if column else None for column in columns.values()]
        ctx.mark_non_differentiable(*(figure for figure in figures[2:] if figure is not None))
        return tuple(figures)  # type: ignore[return-value]

    @staticmethod
    def backward(ctx: Any, of_log_probs: torch.Tensor | None, of_entropy: torch.Tensor | None, *_: Any) -> Any:
        """The gradient of ``hidden`` alone; an entropy's is TRL's own, computed anew."""
        slopes, hidden, weight, targets = ctx.saved_tensors
        gradient = torch.zeros(hidden.shape, dtype=torch.float32)
        if of_log_probs is not None:
            gradient += slopes.float() * of_log_probs[:, None]
        if of_entropy is not None:
            with torch.enable_grad():
                again = hidden.detach().requires_grad_()
                arguments = (1 / ctx.scale, len(weight), None, 1.0, ("entropy",))
                entropy = ChunkedLogProbFunction.apply(again, weight, None, targets, *arguments)[1]
            gradient += torch.autograd.grad(entropy, again, of_entropy)[0].float()
        return gradient.to(hidden.dtype), None, None, None, None


def _entropy(logits: torch.Tensor, probabilities: torch.Tensor, log_total: torch.Tensor, _: Any) -> torch.Tensor:
    return log_total - (probabilities * logits).sum(-1)


def _log_sum_sq(logits: torch.Tensor, _: Any, log_total: torch.Tensor, __: Any) -> torch.Tensor:
    return (2 * logits).logsumexp(-1) - 2 * log_total


def _mean(logits: torch.Tensor, *_: Any) -> torch.Tensor:
    return logits.mean(-1)


def _is_top1(logits: torch.Tensor, _: Any, __: Any, wanted: torch.Tensor) -> torch.Tensor:
    """Whether the target is the first of the likeliest."""
    return logits.argmax(-1) == wanted.squeeze(1)


FIGURES = {"entropy": _entropy, "log_sum_sq_probs": _log_sum_sq, "mean_logits": _mean, "is_top1": _is_top1}
"""What TRL asks of the head beside log-probabilities, in the order in which it expects them."""
