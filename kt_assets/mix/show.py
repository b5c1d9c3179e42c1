"""Datasets for people: decoded text with the trained tokens marked, pairs and labels as tables."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from kt_assets.markdown import cell_text
from kt_resources.store.schemas import Row

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


def pairs_table(rows: Sequence[Row], count: int = 6) -> str:
    """Some pairs as a markdown table."""
    lines = ["| prompt | chosen | rejected | scores |", "|---|---|---|---|"]
    for row in rows[:count]:
        cells = [row["prompt"][-1]["content"], row["chosen"], row["rejected"]]
        shown = [cell_text(cell, 120) for cell in cells]
        lines.append("| " + " | ".join([*shown, f"{row['chosen_score']:g} > {row['rejected_score']:g}"]) + " |")
    return "\n".join(lines)


def labels_table(rows: Sequence[Row], count: int = 6) -> str:
    """Some labelled answers as a markdown table."""
    lines = ["| prompt | answer | desirable | score |", "|---|---|---|---|"]
    for row in rows[:count]:
        shown = [cell_text(cell, 120) for cell in (row["prompt"][-1]["content"], row["completion"])]
        lines.append("| " + " | ".join([*shown, "yes" if row["label"] else "no", f"{row['score']:g}"]) + " |")
    return "\n".join(lines)
