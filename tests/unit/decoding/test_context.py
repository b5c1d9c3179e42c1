"""Items go together as far as there is room for their tokens."""

import pytest

from kt_resources.decoding.context import MICRO_BATCH, in_micro_batches


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([MICRO_BATCH], [[MICRO_BATCH]]),
        ([1, MICRO_BATCH, 1, 1], [[1], [MICRO_BATCH], [1, 1]]),
        ([MICRO_BATCH - 1, 1, 1], [[MICRO_BATCH - 1, 1], [1]]),
        ([3 * MICRO_BATCH, 1], [[3 * MICRO_BATCH], [1]]),
    ],
)
def test_micro_batches(sizes: list[int], parts: list[list[int]]) -> None:
    assert list(in_micro_batches(sizes, lambda size: size)) == parts
