"""What a model with room for some sequences does: it decodes, step by step, whatever it is fed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

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
