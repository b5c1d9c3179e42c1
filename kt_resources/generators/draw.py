"""Drawing a token from logits: the same draw for every engine that shows them."""

import hashlib
from typing import TYPE_CHECKING

from kt_resources.generators.config import Sampling

if TYPE_CHECKING:
    import numpy as np


class Draw:
    """The draws of one completion, from a random stream of its own: neither order nor neighbours change them."""

    def __init__(self, sampling: Sampling, prompt_index: int, sample_index: int) -> None:
        import numpy as np

        self.sampling = sampling
        self.random = np.random.default_rng(draw_seed(sampling.seed, prompt_index, sample_index))

    def __call__(self, logits: "np.ndarray") -> int:
        """A token id from float32 ``logits`` (vocabulary,); the likeliest at temperature 0."""
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        ids, probabilities = nucleus(logits, self.sampling)
        order = ids.argsort()  # by id, so that rounding moves the draw's bounds a little and swaps no neighbours
        ids, probabilities = ids[order], probabilities[order]
        place = int((probabilities.cumsum() < self.random.random()).sum())
        return int(ids[min(place, len(ids) - 1)])


def nucleus(logits: "np.ndarray", sampling: Sampling) -> tuple["np.ndarray", "np.ndarray"]:
    """The ids that may be drawn and their probabilities, likeliest first.

    Temperature, then top-k, then top-p: the smallest set of the likeliest tokens whose mass reaches ``top_p``
    (arXiv:1904.09751).
    """
    import numpy as np

    scaled = (logits - logits.max()).astype(np.float64) / sampling.temperature
    weights = np.exp(scaled)
    probabilities = weights / weights.sum()
    ids = _candidates(probabilities, sampling)
    ids = ids[np.argsort(-probabilities[ids], kind="stable")]
    if sampling.top_k:
        ids = ids[: sampling.top_k]
    kept = probabilities[ids] / probabilities[ids].sum() if sampling.top_k else probabilities[ids]
    if sampling.top_p < 1:
        count = int((kept.cumsum() < sampling.top_p).sum()) + 1
        ids, kept = ids[:count], kept[:count]
    return ids, kept / kept.sum()


def _candidates(probabilities: "np.ndarray", sampling: Sampling) -> "np.ndarray":
    """A few ids that surely hold the set to draw from, so that only they are sorted.

    Tokens below (1 - top_p) / vocabulary have together less than 1 - top_p, so none of them is in the nucleus.
    """
    import numpy as np

    if 0 < sampling.top_k < len(probabilities):
        return np.sort(np.argpartition(-probabilities, sampling.top_k - 1)[: sampling.top_k])
    return np.flatnonzero(probabilities >= (1 - sampling.top_p) / len(probabilities))


def draw_seed(seed: int, prompt_index: int, sample_index: int) -> int:
    """A 32-bit seed for one completion, equal for equal arguments on every machine."""
    text = f"{seed}/{prompt_index}/{sample_index}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
