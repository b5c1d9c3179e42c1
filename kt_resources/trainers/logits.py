"""Logits only where they are scored, and each once.

TRL's fused output head scores only labelled positions on CUDA, and every position elsewhere. A prompt's logits are
the larger part of a step on a CPU (vocabulary 49,152, a quarter of the tokens labelled), and the loss needs none of
them. The head's own compact path works on any device; this switches it on.
"""


def score_labelled_positions_only() -> None:
    """Make TRL's fused output head project only labelled positions, on every device; on a CPU once. Idempotent."""
    from trl.trainer import utils

    from kt_resources.trainers.head import HeadLogProbs

    # TRL decides by device kind in this one function; the arithmetic of both paths is the same.
    utils._use_triton = lambda device: True
    utils._ChunkedLogProbFunction = HeadLogProbs
