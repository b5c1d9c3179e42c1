"""A GGUF's header, tensors and fields. Import it inside functions: it brings numpy."""

from typing import Any

import numpy as np
from gguf import GGUFReader


class GgufFile(GGUFReader):
    """gguf's reader on a plain view of the mapped file.

    It slices once for every token of the vocabulary, and a slice of ``np.memmap`` takes three times as long.
    """

    @property
    def data(self) -> "np.ndarray[Any, Any]":
        """The file's bytes, still mapped."""
        return self._plain

    @data.setter
    def data(self, mapped: "np.ndarray[Any, Any]") -> None:
        self._plain = mapped.view(np.ndarray)
