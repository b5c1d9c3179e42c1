"""Tokenized rows for people: the decoded text, with the trained tokens marked."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPEN, CLOSE = "⟦", "⟧"


def marked_text(row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> str:
    """The row's tokens as text, special tokens included; what is trained stands in ``⟦ ⟧``."""
    parts = []
    pairs = zip(row["input_ids"], row["loss_mask"], strict=True)
    for trained, run in groupby(pairs, key=lambda pair: bool(pair[1])):
        text = tokenizer.decode([token for token, _ in run], skip_special_tokens=False)
        parts.append(f"{OPEN}{text}{CLOSE}" if trained else text)
    return "".join(parts)


def marked_markdown(rows: Sequence[Mapping[str, Any]], tokenizer: "PreTrainedTokenizerBase", count: int = 3) -> str:
    """The first ``count`` rows as markdown, each with its id and how many of its tokens are trained."""
    blocks = [f"Trained tokens stand in {OPEN} {CLOSE}."]
    for row in rows[:count]:
        share = f"{row['num_trained_tokens']} of {row['num_tokens']} tokens"
        head = f"`{row['id']}` {row['source']} / {row['family']}: {share}"
        text = marked_text(row, tokenizer).replace("```", "ˋˋˋ")
        blocks.append(f"{head}\n\n```text\n{text}\n```")
    return "\n\n".join(blocks)
