"""How commands print for programs."""

import json
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(value, indent=2, default=str))
