"""Short written workings that end in ``#### answer``, computed from a task's metadata.

Small models answer right far more often after writing a few steps, so each working is the shortest one whose every
step needs only what stands just before it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kt_resources.errors import DataError


def worked_answer(family: str, entry: Mapping[str, Any], origin: str) -> str:
    """The working of ``family`` and the marked answer.

    Raises:
        DataError: the family has no working here, or the working comes to another answer than the task's.
    """
    if family not in WORKINGS:
        mend = f"use answer_style: direct; there are workings for {', '.join(WORKINGS)}"
        raise DataError(f"there is no written working for {family}", where=origin, mend=mend)
    steps, result = WORKINGS[family](entry["metadata"])
    if result != entry["answer"]:
        raise DataError(f"its working comes to {result}, its answer is {entry['answer']}", where=origin)
    return "\n".join([*steps, f"#### {result}"])


def chain_sum(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """Running totals: ``4 - 1 - 7`` is ``4 - 1 = 3``, ``3 - 7 = -4``."""
    first, *rest = metadata["expression"].split()
    total, steps = int(first), []
    for operator, term in zip(rest[::2], rest[1::2], strict=True):
        new = total + int(term) if operator == "+" else total - int(term)
        steps.append(f"{total} {operator} {term} = {new}")
        total = new
    return steps, str(total)


def gcd(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """Euclid's divisions with remainder: 30, 12 is ``30 = 2 * 12 + 6``, ``12 = 2 * 6 + 0``; further numbers follow."""
    first, *others = metadata["numbers"]
    steps = []
    for other in others:
        larger, smaller = max(first, other), min(first, other)
        while smaller:
            quotient, remainder = divmod(larger, smaller)
            steps.append(f"{larger} = {quotient} * {smaller} + {remainder}")
            larger, smaller = smaller, remainder
        first = larger
    return steps, str(first)


def letter_counting(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """Every word with the letter and the count so far: ``hundred 1, thousand 2``."""
    count, steps = 0, []
    for word in metadata["span"]:
        if here := word.lower().count(metadata["target_letter"]):
            count += here
            steps.append(f"{word} {count}")
    return [", ".join(steps)] if steps else [], str(count)


def spell_backward(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """The letters one by one, then from the end: ``s u n``, ``n u s``."""
    word = metadata["word"]
    return [" ".join(word), " ".join(reversed(word))], word[::-1]


WORKINGS: dict[str, Callable[[Mapping[str, Any]], tuple[list[str], str]]] = {
    "chain_sum": chain_sum,
    "gcd": gcd,
    "letter_counting": letter_counting,
    "spell_backward": spell_backward,
}
