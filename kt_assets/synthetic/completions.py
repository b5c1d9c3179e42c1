"""Completions as the generation program writes them, put back to their prompts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """One completion of a prompt.

    Attributes:
        text: the assistant's text, trimmed.
        finished: whether it ended by itself; one cut off by ``max_new_tokens`` would teach to stop anywhere.
    """

    text: str
    finished: bool = True


def candidates_by_id(completions: Iterable[Mapping[str, Any]]) -> dict[str, list[Candidate]]:
    """Prompt row id → its completions in order, from rows with ``id``, ``completion`` and (optional) ``finished``."""
    found: dict[str, list[Candidate]] = {}
    for row in completions:
        candidate = Candidate(row["completion"].strip(), bool(row.get("finished", True)))
        found.setdefault(row["id"], []).append(candidate)
    return found


def with_references(
    candidates: Mapping[str, list[Candidate]], rows: Iterable[Mapping[str, Any]]
) -> dict[str, list[Candidate]]:
    """``candidates`` and, after them, each prompt's own completion among ``rows``: the source's reference answer."""
    own = {row["id"]: [Candidate(row["completion"].strip())] for row in rows if row["completion"]}
    return {row_id: [*found, *own.get(row_id, [])] for row_id, found in candidates.items()}
