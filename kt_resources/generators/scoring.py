"""Logits and log-probabilities of given tokens, from a context of one sequence."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kt_resources.decoding.context import MICRO_BATCH, Context, Feed

if TYPE_CHECKING:
    import numpy as np

CHUNK = MICRO_BATCH // 4
"""Tokens whose logits are held at once."""


def logits_of(context: Context, token_ids: Sequence[int]) -> "np.ndarray":
    """Logits after each token; float32 (tokens, vocabulary)."""
    import numpy as np

    return np.concatenate([rows for _, rows in _chunks(context, token_ids)])


def logprobs_of(context: Context, token_ids: Sequence[int]) -> "np.ndarray":
    """log p, in nats, of each token after those before it; float32 (tokens - 1,)."""
    import numpy as np

    parts = []
    for start, rows in _chunks(context, token_ids):
        targets = token_ids[start + 1 : start + 1 + len(rows)]
        parts.append(log_softmax_at(rows[: len(targets)], targets))
    return np.concatenate(parts)


def log_softmax_at(logits: "np.ndarray", targets: Sequence[int]) -> "np.ndarray":
    """log softmax of each row of ``logits`` (rows, vocabulary) at its target; float32 (rows,)."""
    import numpy as np

    shifted = logits - logits.max(axis=1, keepdims=True)
    rows = shifted[np.arange(len(targets)), np.asarray(targets)]
    return (rows - np.log(np.exp(shifted).sum(axis=1))).astype(np.float32)


def _chunks(context: Context, token_ids: Sequence[int]) -> Iterator[tuple[int, "np.ndarray"]]:
    """(start, float32 logits of (tokens, vocabulary)) chunk by chunk."""
    import numpy as np

    for start in range(0, len(token_ids), CHUNK):
        part = token_ids[start : start + CHUNK]
        context.decode([Feed(int(token), start + place, 0, True) for place, token in enumerate(part)])
        yield start, np.stack([context.logits(index) for index in range(len(part))])
