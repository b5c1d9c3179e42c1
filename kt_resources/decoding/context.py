"""What a model with room for some sequences does: it decodes, step by step, whatever it is fed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np

Item = TypeVar("Item")

MICRO_BATCH = 512
"""Most tokens that are computed at once."""


@dataclass(frozen=True)
class Feed:
    """One token to decode: its id, its place in its sequence, and whether the logits after it are wanted."""

    token: int
    position: int
    sequence: int
    wants_logits: bool


class Context(Protocol):
    """A model with room for some sequences."""

    def decode(self, feeds: Sequence[Feed]) -> None:
        """Run the model over at most ``MICRO_BATCH`` tokens; those of a sequence follow one another."""
        ...

    def logits(self, index: int) -> "np.ndarray":
        """Logits after the token at ``index`` of the last batch: float32 (vocabulary,), valid until the next."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Give ``target``, which is empty, what ``source`` holds."""
        ...

    def forget(self, sequence: int, position: int = 0) -> int:
        """Drop a sequence's tokens from ``position`` on; how many are left, which may be fewer."""
        ...

    def close(self) -> None:
        """Free its memory; calling it again does nothing."""
        ...


def in_micro_batches(items: Iterable[Item], num_tokens: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Items in their order, so many at once as have ``MICRO_BATCH`` tokens; one that has more stands alone."""
    part: list[Item] = []
    room = MICRO_BATCH
    for item in items:
        if part and num_tokens(item) > room:
            yield part
            part, room = [], MICRO_BATCH
        part.append(item)
        room -= num_tokens(item)
    if part:
        yield part
