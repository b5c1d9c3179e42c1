"""Attention of short sequences in bfloat16 on a CPU: plain matrix products.

torch's flash attention for CPUs takes four to six times as long as the three products of the formula where sequences
are of a few hundred tokens, most of it in the backward pass (8 rows of 110 tokens, 9 heads of 64, forward and
backward: 29 against 8 ms a layer, AVX-512 with bfloat16). Its memory grows with the square of the length, hence the
limit.

Loaded only inside the training program; it imports torch at the top.
"""

from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

LONGEST = 512
"""Tokens; longer sequences stay with torch's attention."""

UNSEEN = -1e9
"""The score of a position that the mask hides."""

_sdpa = ALL_ATTENTION_FUNCTIONS["sdpa"]


def multiply_short_attention() -> None:
    """Let transformers' ``sdpa`` take :func:`short_attention` where it applies. Idempotent."""
    ALL_ATTENTION_FUNCTIONS.register("sdpa", _attention)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **further: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    masked = _hides(attention_mask, key) if attention_mask is not None else causal
    plain = not dropout and further.get("position_bias") is None
    if masked and plain and scaling is not None and _applies(query, key):
        return short_attention(query, key, value, attention_mask, scaling), None
    return _sdpa(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **further
    )


def _applies(query: torch.Tensor, key: torch.Tensor) -> bool:
    length = query.shape[2]
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and 1 < length == key.shape[2] <= LONGEST


def _hides(mask: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether ``mask`` says what is seen of each key, and adds nothing else."""
    return mask.dtype == torch.bool and mask.shape[-1] == key.shape[2]


def short_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """softmax(s Q Kᵀ) V, a group of query heads at a time; (rows, length, heads, size).

    Args:
        query: (rows, heads, length, size).
        key, value: (rows, key heads, length, size); heads are a multiple of key heads.
        mask: true where a position sees another, (rows or 1, 1, length, length); None is causal.
    """
    rows, heads, length, size = query.shape
    flat = rows * key.shape[1]
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()[None, None]
    scores = torch.bmm((query * scaling).reshape(flat, -1, size), key.reshape(flat, length, -1).transpose(1, 2))
    seen = scores.view(rows, heads, length, length).masked_fill(~mask, UNSEEN).softmax(-1)
    mixed = torch.bmm(seen.view(flat, -1, length), value.reshape(flat, length, -1))
    return mixed.view(rows, heads, length, -1).transpose(1, 2).contiguous()
