"""Text as words and operators, and the numbers in it: what tells two tasks of one template apart.

``12 + 34`` and ``12 - 34`` are different tasks, so operators are words like any other, and belong to the numbers.
"""

import re

WORD = re.compile(r"[^\W_]+|[+\-*/=<>^%]", re.UNICODE)
TELLING = re.compile(r"\d|[+\-*/=<>^%]")


def words_of(text: str) -> list[str]:
    """Lower-cased words, numbers and operators, without other punctuation."""
    return WORD.findall(text.casefold())


def numbers_of(words: list[str]) -> tuple[str, ...]:
    """The words with a digit and the operators, in order; a hyphen between words, which is none, left out."""
    found = [word for word in words if TELLING.search(word)]
    return tuple(found) if any(character.isdigit() for word in found for character in word) else ()


def ngrams_of(words: list[str], size: int) -> list[tuple[str, ...]]:
    """Every run of ``size`` words; a shorter text is one run by itself."""
    if len(words) <= size:
        return [tuple(words)] if words else []
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]


def contains(whole: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Whether ``part`` stands in ``whole`` as one run; an empty part does."""
    size = len(part)
    return any(whole[start : start + size] == part for start in range(len(whole) - size + 1))
