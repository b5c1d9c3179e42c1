"""What an answer of the line ``own_data`` is worth: the recipe names these functions by path."""

import json
import re
from collections.abc import Mapping
from typing import Any

FORMS = {"date": r"\d{4}-\d{2}-\d{2}", "total": r"\d+\.\d{2}", "currency": r"[A-Z]{3}"}
"""The fields of an answer, and the form of each."""


def score(completion: str, row: Mapping[str, Any]) -> float:
    """1 where every field is right, else 0: a booking with one wrong field is a wrong booking."""
    return float(fields_right(completion, row) == 1.0)


def fields_right(completion: str, row: Mapping[str, Any]) -> float:
    """The share of the fields that are right; a reward that tells nearly right from wrong (for GRPO)."""
    try:
        given, right = json.loads(completion), json.loads(row["answer"])
    except ValueError:
        return 0.0
    if not isinstance(given, dict) or given.keys() != FORMS.keys():
        return 0.0
    good = (isinstance(given[name], str) and bool(re.fullmatch(form, given[name])) for name, form in FORMS.items())
    return sum(ok and given[name] == right[name] for ok, name in zip(good, FORMS, strict=True)) / len(FORMS)
