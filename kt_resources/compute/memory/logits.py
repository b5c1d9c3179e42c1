"""The output head's share: logits of the scored positions, and the copies that the loss makes of them."""

from typing import Literal

from kt_resources.compute.memory.parts import ObjectiveMemory
from kt_resources.compute.memory.shape import ModelShape

FLOAT32 = 4
TILE_COLUMNS = 32768
"""Columns of the vocabulary that TRL's fused head projects at once (``_CHUNKED_LOGPROB_CHUNK_SIZE``)."""

TILE_ROWS = 4096
"""Positions that it projects at once (``TOKEN_CHUNK_SIZE``)."""

Head = Literal["in_place", "tiles", "frozen"]
FROZEN_TILE = 2**24
"""``TILE_ELEMENTS`` of ``trainers/head.py``, which imports torch."""

FROZEN_COPIES = 2
"""Float32 tiles there: scaled logits and their softmax."""

TILE_COPIES = 6
"""Float32 tiles beside the projected one at the peak of its backward pass in torch; on CUDA a kernel works in place."""


def head_bytes(
    shape: ModelShape, objective: ObjectiveMemory, dtype_bytes: int, tokens: int, scored: int, how: Head
) -> float:
    """Bytes at the loss of a micro-batch of ``tokens`` positions, ``scored`` of them labelled.

    ``labelled``: tiles of at most 4096 × 32768 logits and, in torch, their float32 copies; of a frozen head on a CPU
    tiles of at most 2²⁴ logits, and the gradient that the forward pass makes. ``all``: every position's logits with
    their gradient, and the float32 copies of the log-softmax and of the cross-entropy.

    Args:
        how: ``in_place`` where a kernel overwrites the tile (CUDA), ``frozen`` as ``trainers/head.py`` does it.
    """
    if objective.logits == "none":
        return 0.0
    if objective.logits == "all":
        copies = 2 * dtype_bytes + FULL_COPIES * FLOAT32
        return float(tokens * shape.vocab * copies)
    if how == "frozen":
        tile = min(scored * shape.vocab, FROZEN_TILE)
        return float(tile * (dtype_bytes + FROZEN_COPIES * FLOAT32) + scored * shape.hidden * dtype_bytes)
    tile = min(scored, TILE_ROWS) * min(shape.vocab, TILE_COLUMNS)
    return float(tile * (dtype_bytes + (0 if how == "in_place" else TILE_COPIES * FLOAT32)))


FULL_COPIES = 2.0
"""Float32 copies of all logits at the peak of a loss on whole logits."""
