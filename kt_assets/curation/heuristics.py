"""Cheap rules of quality on characters and lines."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from kt_assets.curation.decision import Decision, Drop
from kt_resources.recipes.data import Heuristics
from kt_resources.store.schemas import prompt_text

FEW_LINES = 4
"""Texts of fewer lines are not judged by their repetitions."""


def check_heuristics(row: Mapping[str, Any], config: Heuristics) -> Decision:
    """Drop what is empty, too short or long, repetitive or unreadable; a prompt row has no completion to judge."""
    prompt, completion = prompt_text(row).strip(), row["completion"]
    if len(prompt) < max(1, config.min_prompt_chars):
        return Drop("short_prompt", f"{len(prompt)} characters")
    if completion is not None and len(completion.strip()) < max(1, config.min_completion_chars):
        return Drop("short_completion", f"{len(completion.strip())} characters")
    if row["rejected"] is not None and not row["rejected"].strip():
        return Drop("empty_rejected", "nothing stands against the chosen answer")
    if row["rejected"] is not None and row["rejected"] == completion:
        return Drop("equal_answers", "chosen and rejected are the same text")
    length = len(prompt) + max(len(completion or ""), len(row["rejected"] or ""))
    if config.max_chars is not None and length > config.max_chars:
        return Drop("too_many_characters", f"{length} characters")
    return _check_text(f"{prompt}\n{completion or ''}", config)


def _check_text(text: str, config: Heuristics) -> Decision:
    repeated = repeated_line_fraction(text)
    if repeated > config.max_repeated_line_fraction:
        return Drop("repeated_lines", f"{repeated:.0%} of the lines")
    readable = alphanumeric_fraction(text)
    if readable < config.min_alphanumeric_fraction:
        return Drop("not_alphanumeric", f"{readable:.0%} letters and digits")
    return None


def repeated_line_fraction(text: str) -> float:
    """Share of the lines, blank ones left out, that repeat an earlier line; 0 below :data:`FEW_LINES` lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < FEW_LINES:
        return 0.0
    return sum(count - 1 for count in Counter(lines).values()) / len(lines)


def alphanumeric_fraction(text: str) -> float:
    """Share of letters and digits among the characters that are no white space; 0 for none."""
    visible = [character for character in text if not character.isspace()]
    return sum(character.isalnum() for character in visible) / len(visible) if visible else 0.0
