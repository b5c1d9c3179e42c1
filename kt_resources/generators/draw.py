"""Drawing a token from logits: the same draw for every engine that shows them."""

import hashlib
from typing import TYPE_CHECKING

from kt_resources.decoding.context import Context
from kt_resources.generators.batching import Run
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
        place = int(probabilities.cumsum().searchsorted(self.random.random()))
        return int(ids[min(place, len(ids) - 1)])


class Draws:
    """The draws of all completions under way."""

    def __init__(self, context: Context, sampling: Sampling, first_index: int) -> None:
        self.context, self.sampling, self.first_index = context, sampling, first_index
        self._draws: dict[tuple[int, int], Draw] = {}

    def __call__(self, run: Run, index: int) -> int:
        key = run.prompt, run.sample
        if key not in self._draws:
            self._draws[key] = Draw(self.sampling, self.first_index + run.prompt, run.sample)
        return self._draws[key](self.context.logits(index))

    def finish(self, run: Run) -> None:
        self._draws.pop((run.prompt, run.sample), None)


def nucleus(logits: "np.ndarray", sampling: Sampling) -> tuple["np.ndarray", "np.ndarray"]:
    """The ids that may be drawn, in their order, and their probabilities.

    Temperature, then top-k, then top-p: the smallest set of the likeliest tokens whose mass reaches ``top_p``
    (arXiv:1904.09751). In the order of ids, rounding moves the bounds of a draw a little and swaps no neighbours.
    """
    import numpy as np

    scaled = (logits - logits.max()) / np.float32(sampling.temperature)
    ids = _candidates(scaled, sampling)
    weights = np.exp(scaled[ids], dtype=np.float64)
    if not sampling.top_k and sampling.top_p == 1:
        return ids, weights / weights.sum()
    likeliest = np.argsort(-weights, kind="stable")
    if sampling.top_k:
        likeliest = likeliest[: sampling.top_k]
        total = weights[likeliest].sum()
    else:
        total = np.exp(scaled).sum(dtype=np.float64)
    if sampling.top_p < 1:
        count = int((weights[likeliest].cumsum() < sampling.top_p * total).sum()) + 1
        likeliest = likeliest[:count]
    kept = np.sort(likeliest)
    return ids[kept], weights[kept] / weights[kept].sum()


def _candidates(scaled: "np.ndarray", sampling: Sampling) -> "np.ndarray":
    """A few ids that surely hold the set to draw from, so that only they are sorted; all where nothing is left out.

    Tokens below (1 - top_p) / vocabulary have together less than 1 - top_p, so none of them is in the nucleus. A token
    is no likelier than ``scaled`` tells, which is beside the likeliest one.
    """
    import numpy as np

    if 0 < sampling.top_k < len(scaled):
        return np.sort(np.argpartition(-scaled, sampling.top_k - 1)[: sampling.top_k])
    if sampling.top_p == 1:
        return np.arange(len(scaled))
    return np.flatnonzero(scaled >= np.log((1 - sampling.top_p) / len(scaled)))


def draw_seed(seed: int, prompt_index: int, sample_index: int) -> int:
    """A 32-bit seed for one completion, equal for equal arguments on every machine."""
    text = f"{seed}/{prompt_index}/{sample_index}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
