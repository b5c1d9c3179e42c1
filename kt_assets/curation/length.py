"""Length by the real tokenizer."""

from collections.abc import Callable, Mapping
from typing import Any

from kt_assets.curation.decision import Decision, Drop

CountTokens = Callable[[Mapping[str, Any]], int]
"""Tokens of a row under the base model's chat template."""


def check_length(row: Mapping[str, Any], count_tokens: CountTokens, max_tokens: int) -> Decision:
    """Drop a row of more than ``max_tokens`` tokens; nothing is ever cut."""
    count = count_tokens(row)
    return None if count <= max_tokens else Drop("too_many_tokens", f"{count} tokens, {max_tokens} allowed")
