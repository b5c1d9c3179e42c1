"""E-mail addresses are masked: a model can recite what it was trained on."""

import re
from collections.abc import Mapping
from typing import Any

from kt_resources.store.schemas import Row, changed_row

EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@(?:[\w-]+\.)+[A-Za-z]{2,}", re.UNICODE)
MASK = "<email>"


def mask_text(text: str) -> tuple[str, int]:
    """``text`` with every address replaced by ``<email>``, and how many there were."""
    return EMAIL.subn(MASK, text)


def has_email(text: str) -> bool:
    """Whether an address stands in ``text``."""
    return EMAIL.search(text) is not None


def mask_row(row: Mapping[str, Any]) -> tuple[Row, int]:
    """``row`` masked in all of its texts, and the addresses in prompt, completion and rejected answer.

    Where there are any, the masked row has a new id and the old row as its parent.
    """
    count = 0
    prompt = []
    for message in row["prompt"]:
        content, found = mask_text(message["content"])
        prompt.append({**message, "content": content})
        count += found
    texts = {name: mask_text(row[name]) if row[name] else (row[name], 0) for name in MASKED}
    changes = {name: text for name, (text, _) in texts.items()}
    return changed_row(row, prompt=prompt, **changes), count + sum(texts[name][1] for name in MASKED[:2])


MASKED = ("completion", "rejected", "answer", "verification")
"""The columns that are masked beside the prompt; addresses in the first two are counted."""
