"""A glance at a recipe's sources before anything is made of them: how many rows they have, and how long."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from kt_assets.sources.read_file import read_file
from kt_assets.sources.reasoning_gym import source_rows
from kt_resources.recipes.data import REPLAY, SYNTHETIC, Data, Purpose, Source
from kt_resources.store.schemas import Row
from kt_resources.tokenizing import about_tokens
from kt_resources.trainers.lengths import prompt_tokens

LOOKED_AT = 1000
"""Rows of a source whose lengths are looked at."""


@dataclass(frozen=True)
class Glance:
    """What a look at a source tells.

    Attributes:
        lengths: (tokens of the prompt, of the longer answer) of its first rows, about.
    """

    num_rows: int
    lengths: Sequence[tuple[int, int]]


@dataclass
class Sources:
    """The sources of a recipe, each looked at once.

    Attributes:
        folder: the recipe's, from which a file's path counts.
    """

    data: Data
    folder: Path
    _seen: dict[str, Glance] = field(default_factory=dict)

    def glance(self, name: str) -> Glance:
        """What the source of that name holds.

        Raises:
            DataError: its file is absent or cannot be read.
        """
        if name not in self._seen:
            source = next(source for source in self.data.sources if source.name == name)
            self._seen[name] = _look_at(source, self.folder)
        return self._seen[name]

    def names(self, purpose: Purpose | None = None) -> tuple[str, ...]:
        """The sources of that purpose; all of them where none is named."""
        return tuple(source.name for source in self.data.sources if purpose in (None, source.purpose))

    def num_rows(self, name: str) -> int:
        """Rows that the source asks for, or that its file has."""
        return self.glance(name).num_rows

    def written(self) -> dict[str, int]:
        """Rows that a model writes, at most, by the name that a mix gives them."""
        counts = {}
        if (synthetic := self.data.synthetic) is not None and synthetic.enabled:
            counts[SYNTHETIC] = synthetic.prompts.num_prompts * min(synthetic.max_per_prompt, synthetic.num_samples)
        if (replay := self.data.replay) is not None:
            counts[REPLAY] = replay.num_prompts
        return counts


def _look_at(source: Source, folder: Path) -> Glance:
    if source.type == "reasoning_gym":
        few = source.model_copy(update={"num_rows": min(source.num_rows, LOOKED_AT)})
        return Glance(source.num_rows, [_row_tokens(row) for row in source_rows(few)])
    rows: Iterator[Row] = read_file(folder / source.path, source)
    lengths = [_row_tokens(row) for row in islice(rows, LOOKED_AT)]
    return Glance(len(lengths) + sum(1 for _ in rows), lengths)


def _row_tokens(row: Mapping[str, Any]) -> tuple[int, int]:
    answers = [about_tokens(row[name]) + 1 for name in ("completion", "rejected") if row[name] is not None]
    return prompt_tokens(row["prompt"], None), max(answers, default=0)
