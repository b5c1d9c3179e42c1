"""A first look at a person's file: what its rows are for, how long they are, and of what kind their answers are."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from kt_assets.sources.read_file import BadRow, read_file
from kt_resources.recipes.data import FileSource
from kt_resources.store.schemas import Row, prompt_key, prompt_text
from kt_resources.tokenizing import about_tokens
from kt_resources.verifiers import extract_answer
from kt_resources.verifiers.numeric import parse_number

Kind = Literal["examples", "pairs", "labels", "prompts"]
Answers = Literal["numeric", "math", "json", "short", "text", "none"]
LOOKED_AT = 10_000
"""Rows of each file that are read."""

MARKER = "####"
MOST = 0.95
"""The share of a file's rows that must be of a kind for the file to be."""

SHORT_CHARS = 48
LATEX = re.compile(r"\\(frac|sqrt|boxed|cdot|times|pi)\b|\$")


@dataclass(frozen=True)
class Seen:
    """What stands in a file.

    Attributes:
        kind: ``examples`` (prompt and answer), ``pairs``, ``labels``, or ``prompts`` alone.
        num_prompts: distinct ones.
        answers: what the right answers are, where there are any.
        marker: what stands before the answer in the completions; None where the whole completion is the answer.
        row_tokens, answer_tokens: the 99th percentile of a row's and of a completion's tokens, about.
        num_bad, first_bad: rows that cannot be used, and the reason of the first.
    """

    path: Path
    kind: Kind
    num_rows: int
    num_prompts: int
    answers: Answers
    marker: str | None
    row_tokens: int
    answer_tokens: int
    num_bad: int = 0
    first_bad: str | None = None

    @property
    def name(self) -> str:
        """A name for the source, made of the file's: ``My notes.csv`` is ``my_notes``."""
        name = re.sub(r"[^a-z0-9]+", "_", self.path.stem.lower()).strip("_")
        return name if name[:1].isalpha() else f"rows_{name}".rstrip("_")


def look_at(path: Path) -> Seen:
    """Read the first :data:`LOOKED_AT` rows as ``kt validate`` reads them, and say what they are.

    Raises:
        DataError: no such file, an unknown kind of file, or none of its rows can be used.
    """
    bad: list[BadRow] = []
    source = FileSource(type="file", name="seen", path=path.name, purpose="preference", on_bad_row="set_aside")
    rows = list(islice(read_file(path, source, bad), LOOKED_AT))
    kind = kind_of(rows)
    usable = [row for row in rows if _usable(row, kind)]
    completions = [row["completion"] for row in usable if row["completion"] is not None]
    marker = MARKER if _most([MARKER in text for text in completions]) else None
    left_out = [f"{row['origin']}: no answer" for row in rows if not _usable(row, kind)]
    reasons = [*(f"{one['origin']}: {one['reason']}" for one in bad), *left_out]
    return Seen(
        path=path,
        kind=kind,
        num_rows=len(usable),
        num_prompts=len({prompt_key(row) for row in usable}),
        answers=kind_of_answers(right_answers(usable, marker)),
        marker=marker,
        row_tokens=_percentile([about_tokens(prompt_text(row)) + _longest_answer(row) for row in usable]),
        answer_tokens=_percentile([about_tokens(text) for text in completions]),
        num_bad=len(reasons),
        first_bad=reasons[0] if reasons else None,
    )


def kind_of(rows: Sequence[Row]) -> Kind:
    """What the rows are for: what most of them bring says it, the most telling first."""
    if any(row["rejected"] is not None for row in rows):
        return "pairs"
    if _most([row["label"] is not None for row in rows]):
        return "labels"
    return "examples" if sum(row["completion"] is not None for row in rows) * 2 >= len(rows) else "prompts"


def right_answers(rows: Sequence[Row], marker: str | None) -> list[str]:
    """The right answers: the column ``answer`` where most rows have one, else what stands in the completions."""
    given = [
        row["answer"] for row in rows if row["answer"] and row["answer"].strip() != (row["completion"] or "").strip()
    ]
    if rows and len(given) >= MOST * len(rows):
        return given
    good = [row["completion"] for row in rows if row["completion"] is not None and row["label"] is not False]
    return [answer for text in good if (answer := extract_answer(text, marker))]


def kind_of_answers(answers: Sequence[str]) -> Answers:
    """``numeric``, ``json`` (objects or lists), ``math`` (LaTeX), ``short`` (a line of few characters), or ``text``."""
    if not answers:
        return "none"
    if _most([parse_number(text) is not None for text in answers]):
        return "numeric"
    if _most([_is_json(text) for text in answers]):
        return "json"
    short = _most([len(text) <= SHORT_CHARS and "\n" not in text for text in answers])
    if short and sum(LATEX.search(text) is not None for text in answers) * 2 >= len(answers):
        return "math"
    return "short" if short else "text"


def _usable(row: Row, kind: Kind) -> bool:
    return kind == "prompts" or row["completion"] is not None


def _longest_answer(row: Row) -> int:
    answers = [row[name] for name in ("completion", "rejected") if row[name] is not None]
    return max(map(about_tokens, answers), default=0)


def _is_json(text: str) -> bool:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list)


def _most(holds: Sequence[bool]) -> bool:
    return bool(holds) and sum(holds) >= MOST * len(holds)


def _percentile(lengths: Sequence[int]) -> int:
    """The 99th percentile by nearest rank; 0 for none."""
    ordered = sorted(lengths)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0
