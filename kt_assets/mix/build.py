"""The datasets that training reads: a tokenized mix, and prompts for reinforcement learning."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kt_assets.mix.split import split_by_prompt
from kt_assets.mix.tokenize_rows import tokenize_rows
from kt_assets.mix.weights import Sampled, sample_by_weight
from kt_assets.sources.truth import UNJUDGED, with_truth
from kt_resources.errors import DataError
from kt_resources.recipes.datasets import Mix, Prompts
from kt_resources.store.schemas import Row, prompt_key
from kt_resources.verifiers import VerifierConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class BuiltMix:
    """A mix: tokenized rows of both sides, the rows left out by reason, and how the sources were sampled."""

    train: list[Row]
    validation: list[Row]
    dropped: dict[str, list[str]]
    sampled: Sampled

    @property
    def counts(self) -> dict[str, int]:
        """Rows left out, by reason."""
        return {reason: len(ids) for reason, ids in self.dropped.items()}


def build_mix(rows: Sequence[Mapping[str, Any]], config: Mix, tokenizer: "PreTrainedTokenizerBase") -> BuiltMix:
    """Tokenize the rows of the mix's sources, sample them by weight, and hold prompts out.

    Args:
        rows: curated and synthetic rows; those of sources without a weight are left alone.

    Raises:
        DataError: no source has a row, or too few prompts to hold any out.
    """
    tokenized = tokenize_rows([row for row in rows if row["source"] in config.weights], tokenizer, config.max_seq_len)
    by_source: dict[str, list[Row]] = {}
    for row in _distinct(tokenized.rows):
        by_source.setdefault(row["source"], []).append(row)
    sampled = sample_by_weight(by_source, config.weights, config.num_rows, config.seed)
    train, validation = split_by_prompt(sampled.rows, fraction=config.validation_fraction, seed=config.seed)
    return BuiltMix(train, validation, tokenized.dropped, sampled)


def select_prompts(
    rows: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
    num_rows: int | None,
    seed: int,
    verifier: VerifierConfig = UNJUDGED,
) -> list[Row]:
    """Distinct prompts of ``sources`` in a shuffled order, as prompt rows; ``num_rows`` of them where given.

    Args:
        verifier: what it compares with is taken from the rows' completions where they have no ``answer``.

    Raises:
        DataError: there is none, or one has nothing that the verifier could compare with.
    """
    found: dict[str, Row] = {}
    for row in rows:
        if row["source"] in sources:
            asked = with_truth(row, verifier, f"{row['source']}: {row['origin']}")
            found.setdefault(prompt_key(row), asked | {"completion": None, "rejected": None, "label": None})
    if not found:
        mend = "give a source that purpose, and look at the reasons in curated_examples' metadata"
        raise DataError("there is no prompt", where=f"sources {', '.join(sources) or '(none)'}", mend=mend)
    chosen = list(found.values())
    random.Random(seed).shuffle(chosen)
    return chosen[:num_rows]


def build_prompts(
    rows: Sequence[Mapping[str, Any]], config: Prompts, sources: Sequence[str], verifier: VerifierConfig = UNJUDGED
) -> tuple[list[Row], list[Row]]:
    """``(train, validation)`` prompt rows for reinforcement learning.

    Args:
        sources: the sources of purpose ``rl``, which count where the config names none.
    """
    chosen = select_prompts(rows, config.sources or sources, config.num_rows, config.seed, verifier)
    return split_by_prompt(chosen, count=config.validation_rows, seed=config.seed)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """The rows without a second one of the same id: a generated answer may be a curated one, word for word."""
    return list({row["id"]: row for row in reversed(rows)}.values())[::-1]
