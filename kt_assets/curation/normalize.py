"""One form for the same text: Unicode NFC, one kind of line end, no invisible characters, no blanks at the ends."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from kt_resources.store.schemas import Row, changed_row

INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
LINE_END = re.compile("\r\n?|\u2028|\u2029|\u0085")
BLANKS_AT_LINE_END = re.compile(r"[ \t]+$", re.MULTILINE)


def normalize_text(text: str) -> str:
    """``text`` in its one form; control characters other than tab and line end are left out."""
    text = INVISIBLE.sub("", LINE_END.sub("\n", unicodedata.normalize("NFC", text)))
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
    return BLANKS_AT_LINE_END.sub("", text).strip()


def normalize_row(row: Mapping[str, Any]) -> Row:
    """``row`` with prompt, completion, rejected answer and ground truth in their one form."""
    prompt = [{**message, "content": normalize_text(message["content"])} for message in row["prompt"]]
    texts = {name: row[name] and normalize_text(row[name]) for name in ("completion", "rejected", "answer")}
    return changed_row(row, prompt=prompt, **texts)
