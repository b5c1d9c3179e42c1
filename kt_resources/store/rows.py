"""Row ids: every row has a stable name, made of its normalized content alone."""

import hashlib
import unicodedata


def normalized(text: str) -> str:
    """``text`` in Unicode NFC with runs of white space folded to one blank and the ends trimmed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def row_id(*parts: str) -> str:
    """The id of a row: the first 16 hex digits (64 bits) of SHA-256 over its normalized parts.

    Parts are joined by the unit separator, so that ``("a b", "c")`` and ``("a", "b c")`` differ. With a million
    rows the chance of any two sharing an id is about 3e-8 (birthday bound n²/2⁶⁵).
    """
    return hashlib.sha256("\x1f".join(normalized(part) for part in parts).encode()).hexdigest()[:16]
