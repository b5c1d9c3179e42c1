"""Short written workings that end in ``#### answer``, computed from a task's metadata.

Small models answer right far more often after writing a few steps, so each working is the shortest one whose every
step needs only what stands just before it.
"""

from calendar import day_name
from collections.abc import Callable, Mapping
from datetime import date
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
    """Every word with the count so far: ``hundred 1, thousand 2, in 2``."""
    count, steps = 0, []
    for word in metadata["span"]:
        count += word.lower().count(metadata["target_letter"])
        steps.append(f"{word} {count}")
    return [", ".join(steps)], str(count)


def leg_counting(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """Each animal's legs, then the total so far: ``crab 3 * 10 = 30``, ``ant 2 * 6 = 12``, ``30 + 12 = 42``."""
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    total, steps = 0, []
    for number, (animal, count) in enumerate(metadata["animals"].items()):
        legs = count * ANIMALS[animal]
        steps.append(f"{animal} {count} * {ANIMALS[animal]} = {legs}")
        if number:
            steps.append(f"{total} + {legs} = {total + legs}")
        total += legs
    return steps, str(total)


def spell_backward(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """The letters one by one, then from the end: ``s u n``, ``n u s``."""
    word = metadata["word"]
    return [" ".join(word), " ".join(reversed(word))], word[::-1]


def calendar_arithmetic(metadata: Mapping[str, Any]) -> tuple[list[str], str]:
    """Weekdays by weeks taken off, then day by day; 9 days from Monday: ``9 - 7 = 2``, ``0 Mon, 1 Tue, 2 Wed``.

    A leap year is told by the remainder of its last two digits by 4, a century's by that of its first two.

    Raises:
        DataError: a task whose working would be a calendar, or a count through one.
    """
    task = metadata["task"]
    if task == "weekday_offset":
        return _weekday(date.fromisoformat(metadata["start_date"]).weekday(), metadata["offset_days"])
    if task == "weekday_of_date_from_first_date":
        asked, first = date.fromisoformat(metadata["target_date"]), list(day_name).index(metadata["first_day"])
        before = date(asked.year, asked.month, 1).timetuple().tm_yday - 1
        terms = f"{before} + {asked.day} - 1" if before else f"{asked.day} - 1"
        steps, answer = _weekday(first, metadata["delta_days"])
        return [f"{terms} = {metadata['delta_days']}", *steps], answer
    if task == "is_leap_year":
        century, rest = divmod(metadata["year"], 100)
        digits = rest or century
        return [f"{digits} = {digits // 4} * 4 + {digits % 4}"], "No" if digits % 4 else "Yes"
    mend = "ask weekday_offset, weekday_of_date_from_first_date or is_leap_year, or use answer_style: direct"
    raise DataError(f"there is no written working for {task}", where="families.calendar_arithmetic.tasks", mend=mend)


def _weekday(start: int, offset: int) -> tuple[list[str], str]:
    """The weekday ``offset`` days from weekday ``start`` (0 is Monday): weeks taken off, the rest counted out."""
    rest, step = abs(offset), 1 if offset > 0 else -1
    taken = []
    while rest >= 7:
        taken.append(f"{rest} - 7 = {rest - 7}")
        rest -= 7
    passed = [day_name[(start + step * day) % 7] for day in range(rest + 1)]
    return [*taken, ", ".join(f"{day} {name[:3]}" for day, name in enumerate(passed))], passed[-1]


WORKINGS: dict[str, Callable[[Mapping[str, Any]], tuple[list[str], str]]] = {
    "chain_sum": chain_sum,
    "gcd": gcd,
    "leg_counting": leg_counting,
    "letter_counting": letter_counting,
    "spell_backward": spell_backward,
    "calendar_arithmetic": calendar_arithmetic,
}
