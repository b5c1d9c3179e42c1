"""Deliberate dirt: the faults of real files, added by count and seed, so that curation has work to show."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kt_resources.errors import DataError
from kt_resources.recipes.data import Dirt

Record = dict[str, Any]
OVER_LONG_WORDS = 3000
GREETINGS = ("Please help:", "Quick question:", "Hello!", "One more:")
NAMES = ("ada.lovelace", "alan.turing", "grace.hopper", "emmy.noether", "carl.gauss")
FILLER = ("well", "then", "we", "look", "at", "this", "again", "and", "count", "slowly", "from", "start", "to", "end")


def add_dirt(records: Sequence[Record], eval_rows: Sequence[Mapping[str, Any]], dirt: Dirt, seed: int) -> list[Record]:
    """``records`` with the faults of ``dirt`` among them; the same seed gives the same list.

    E-mail addresses are put into records that stand there; every other fault is a further record, whose origin
    names the fault and the record that it was made of.

    Raises:
        DataError: leaked rows are asked for and there are no evaluation rows.
    """
    if dirt.leaked and not eval_rows:
        raise DataError("leaked rows are asked for, and there is no evaluation set", where="dirt.leaked")
    generator = random.Random(f"dirt {seed}")
    order = generator.sample(range(len(records)), len(records))
    with_email = set(order[: dirt.emails])
    dirty = [_with_email(r, generator) if i in with_email else dict(r) for i, r in enumerate(records)]
    models = [dirty[index] for index in order if index not in with_email] or dirty
    leaks = [_leak(row, models[0]) for row in eval_rows]
    for fault, count, make, material in (
        ("exact duplicate", dirt.exact_duplicates, _exact_duplicate, models),
        ("near duplicate", dirt.near_duplicates, _near_duplicate, models),
        ("empty", dirt.empty, _empty, models),
        ("over-long", dirt.over_long, _over_long, models),
        ("leaked", dirt.leaked, _leaked, leaks),
    ):
        for record in _made(make, material, count, generator):
            record["origin"] = f"dirt: {fault} of {record['origin']}"
            dirty.insert(generator.randrange(len(dirty) + 1), record)
    return dirty


def _made(
    make: Callable[[Record, int, random.Random], Record],
    material: Sequence[Record],
    count: int,
    generator: random.Random,
) -> list[Record]:
    """``count`` faults, each of another record as long as there are any."""
    if not count:
        return []
    order = generator.sample(range(len(material)), len(material))
    return [make(material[order[index % len(order)]], index, generator) for index in range(count)]


def _asking(record: Record, question: str) -> Record:
    """``record`` with another last user turn."""
    *before, last = record["prompt"]
    return {**record, "prompt": [*before, {**last, "content": question}]}


def _question(record: Record) -> str:
    text: str = record["prompt"][-1]["content"]
    return text


def _with_email(record: Record, generator: random.Random) -> Record:
    address = f"{generator.choice(NAMES)}{generator.randrange(100)}@example.com"
    return _asking(record, f"{_question(record)}\nReply to {address}.")


def _exact_duplicate(record: Record, index: int, _: random.Random) -> Record:
    """Every other copy has blanks around the question."""
    return _asking(record, f"  {_question(record)} " if index % 2 else _question(record))


def _near_duplicate(record: Record, index: int, _: random.Random) -> Record:
    return _asking(record, f"{GREETINGS[index % len(GREETINGS)]} {_question(record)}")


def _empty(record: Record, *_: Any) -> Record:
    """No completion; a prompt row, which has none, loses its question."""
    return _asking(record, " ") if record["completion"] is None else {**record, "completion": "  "}


def _over_long(record: Record, _: int, generator: random.Random) -> Record:
    filler = " ".join(generator.choice(FILLER) for _ in range(OVER_LONG_WORDS))
    if record["completion"] is None:
        return _asking(record, f"{_question(record)} {filler}")
    return {**record, "completion": f"{filler}\n{record['completion']}"}


def _leak(row: Mapping[str, Any], like: Record) -> Record:
    """An evaluation row as a record of the source of ``like``."""
    record = {name: row[name] for name in like}
    completion = None if like["completion"] is None else f"#### {row['answer']}"
    return {**record, "source": like["source"], "completion": completion}


def _leaked(record: Record, index: int, _: random.Random) -> Record:
    """Every other leak is reworded at its start."""
    return _asking(record, f"Please solve this. {_question(record)}" if index % 2 else _question(record))
