"""Logits and log-probabilities of given tokens."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from kt_resources.decoding.context import MICRO_BATCH, Context, Feed, in_micro_batches

if TYPE_CHECKING:
    import numpy as np

CHUNK = MICRO_BATCH // 4
"""Tokens whose logits are held at once."""


class ScoresInContexts(ABC):
    """The scores of an engine that opens contexts."""

    @abstractmethod
    def _exact_context(self, num_sequences: int, length: int) -> Context:
        """A context with room for so many sequences of so many tokens, as exact as the engine has it."""

    def logits(self, token_ids: Sequence[int]) -> "np.ndarray":
        with closing(self._exact_context(1, len(token_ids))) as context:
            return logits_of(context, token_ids)

    def logits_each(self, asked: Sequence[tuple[Sequence[int], int]]) -> Iterator["np.ndarray"]:
        return logits_each(self._exact_context, asked)

    def token_logprobs(self, token_ids: Sequence[int]) -> "np.ndarray":
        with closing(self._exact_context(1, len(token_ids))) as context:
            return logprobs_of(context, token_ids)


def logits_each(
    open_context: Callable[[int, int], Context], asked: Sequence[tuple[Sequence[int], int]]
) -> Iterator["np.ndarray"]:
    """Of each sequence the logits after its tokens from a place on, float32 (tokens, vocabulary); short ones together.

    Args:
        open_context: with room for so many sequences of so many tokens.
        asked: token ids, and the place of the first whose logits are wanted.
    """
    import numpy as np

    for part in in_micro_batches(asked, lambda one: len(one[0])):
        with closing(open_context(len(part), max(len(ids) for ids, _ in part))) as context:
            if len(part) == 1:
                yield logits_of(context, part[0][0])[part[0][1] :]
                continue
            rows = enumerate(part)
            context.decode(
                [Feed(int(token), at, row, at >= start) for row, (ids, start) in rows for at, token in enumerate(ids)]
            )
            first = 0
            for ids, start in part:
                yield np.stack([context.logits(first + at) for at in range(start, len(ids))])
                first += len(ids)


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
