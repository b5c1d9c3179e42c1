"""The order of rows, fixed by the seed and the epoch alone: a resumed run sees what an uninterrupted one sees."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler

GROUPED_STEPS = 16
"""Rows of this many optimizer steps are sorted by length together: little padding, still shuffled."""


class ByEpoch(Sampler[int]):
    """A sampler whose order is ``order(epoch)``, asked anew at each pass."""

    def __init__(self, order: Callable[[int], Sequence[int] | Sampler], epoch: Callable[[], int]) -> None:
        self._order, self._epoch = order, epoch

    def __iter__(self) -> Iterator[int]:
        return iter(self._order(self._epoch()))

    def __len__(self) -> int:
        return len(self._order(0))


def length_grouped(lengths: Sequence[int], step_size: int, seed: int) -> list[int]:
    """A permutation of the rows in which each run of ``step_size`` rows has similar lengths.

    Rows are shuffled, sorted by length within chunks of ``GROUPED_STEPS`` steps, cut into steps and the steps
    shuffled; the step with the longest row comes first, so that a lack of memory shows at once, a step that is not
    full last.

    >>> length_grouped([5, 1, 5, 1], step_size=2, seed=0) in ([0, 2, 1, 3], [0, 2, 3, 1], [2, 0, 1, 3], [2, 0, 3, 1])
    True
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(lengths), generator=generator).tolist()
    full, rest = divmod(len(shuffled), step_size)
    last, chunk = shuffled[len(shuffled) - rest :], GROUPED_STEPS * step_size
    steps: list[list[int]] = []
    for start in range(0, full * step_size, chunk):
        rows = sorted(shuffled[start : min(start + chunk, full * step_size)], key=lambda row: -lengths[row])
        steps += [rows[begin : begin + step_size] for begin in range(0, len(rows), step_size)]
    order = [steps[index] for index in torch.randperm(len(steps), generator=generator).tolist()]
    if order:
        longest = max(range(len(order)), key=lambda index: lengths[order[index][0]])
        order[0], order[longest] = order[longest], order[0]
    return [row for step in order for row in step] + last
