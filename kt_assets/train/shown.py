"""What the training room shows of a model: its answers before and after, to the same held-out prompts."""

from collections.abc import Mapping, Sequence
from typing import Any

from kt_assets.markdown import cell_text
from kt_resources.trainers.spec import Message, SamplePrompt


def sample_prompts(rows: Sequence[Mapping[str, Any]], count: int) -> tuple[SamplePrompt, ...]:
    """The first ``count`` held-out rows as prompts; rows come in a random order already."""
    return tuple(
        SamplePrompt(
            id=row["id"],
            prompt=tuple(Message(role=turn["role"], content=turn["content"]) for turn in row["prompt"]),
            answer=row.get("answer") or row.get("chosen") or row.get("completion"),
        )
        for row in rows[:count]
    )


def answers_table(samples: Sequence[Mapping[str, Any]]) -> str:
    """A markdown table: prompt, expected, before, after."""
    lines = ["| prompt | expected | before | after |", "|---|---|---|---|"]
    for sample in samples:
        prompt = sample["prompt"] if isinstance(sample["prompt"], str) else sample["prompt"][-1]["content"]
        cells = (prompt, sample.get("answer") or "", sample.get("before") or "", sample.get("after") or "")
        lines.append("| " + " | ".join(cell_text(cell) for cell in cells) + " |")
    return "\n".join(lines)
