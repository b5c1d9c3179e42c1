"""How long a step's rows are: counted where they are made, bounded by the recipe where they are not. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_resources.compute.memory.parts import Lengths
from kt_resources.store.tables import iter_rows
from kt_resources.tokenizing import about_tokens
from kt_resources.trainers.objectives.base import ObjectiveConfig
from kt_resources.trainers.spec import Optimization

TEMPLATE_TOKENS = 6
"""Tokens that a chat template puts around one message, about; and a default system message of the same order."""

ANSWER_SHARE = 0.5
"""Share of a row's tokens that is taken for scored where rows are not made yet."""


def bounded_lengths(objective: ObjectiveConfig, optimization: Optimization, limit: int | None = None) -> Lengths:
    """Lengths of rows that are not made yet: as long as they may be.

    Args:
        limit: of the step's dataset, where it has one of its own.
    """
    completion = getattr(objective, "max_completion_length", 0) if objective.rows == "prompts" else 0
    longest = max(1, optimization.max_seq_len - completion)
    longest = min(longest, limit or longest)
    scored = max(1, round(longest * ANSWER_SHARE))
    return Lengths(longest=longest, mean=longest, scored=scored, mean_scored=scored, distinct=longest, known=False)


def counted_lengths(folder: Path, tokenizer_file: Path) -> Lengths:
    """Lengths of the rows in ``folder`` (``train.parquet``, ``validation.parquet``), of any kind.

    Tokenized rows are counted as they stand; the others by the tokenizer's own file, with an allowance for the chat
    template, or by :func:`about_tokens` where the tokenizer has no such file.

    Args:
        tokenizer_file: ``tokenizer.json`` of the base model.
    """
    counts = list(_counted(iter_rows(folder / "train.parquet"), tokenizer_file))
    validation = folder / "validation.parquet"
    held_out = sum(1 for _ in iter_rows(validation, ["id"])) if validation.is_file() else 0
    longest = max(counts)
    return Lengths(
        longest=longest[0],
        mean=sum(count[0] for count in counts) / len(counts),
        scored=max(count[1] for count in counts),
        mean_scored=sum(count[1] for count in counts) / len(counts),
        num_rows=len(counts),
        num_validation_rows=held_out,
        distinct=len({count[0] for count in counts}),
    )


def _counted(rows: Iterable[Mapping[str, Any]], tokenizer_file: Path) -> Iterable[tuple[int, int]]:
    """(tokens, scored tokens) of each row's longer sequence."""
    tokenizer: Any = None
    for row in rows:
        if row.get("input_ids") is not None:
            yield len(row["input_ids"]), sum(row["loss_mask"])
            continue
        if tokenizer is None and tokenizer_file.is_file():
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(tokenizer_file))
        asked = prompt_tokens(row["prompt"], tokenizer)
        answered = max((_tokens(answer, tokenizer) + 1 for answer in _answers(row)), default=0)
        yield asked + answered, answered


def _answers(row: Mapping[str, Any]) -> Sequence[str]:
    return [row[name] for name in ("chosen", "rejected", "completion") if row.get(name)]


def prompt_tokens(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> int:
    """Tokens of a conversation under a chat template, about."""
    has_system = any(message["role"] == "system" for message in messages)
    frames = TEMPLATE_TOKENS * (len(messages) + (1 if has_system else 4))
    return frames + sum(_tokens(message["content"], tokenizer) for message in messages)


def _tokens(text: str, tokenizer: Any) -> int:
    if tokenizer is None:
        return about_tokens(text)
    return len(tokenizer.encode(text, add_special_tokens=False).ids)
