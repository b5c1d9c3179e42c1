"""How commands print for programs."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(value, indent=2, default=str))


def print_left_out(console: Console, left_out: Sequence[str]) -> None:
    """A line for each limit that leaves rows out."""
    for told in left_out:
        console.print(f"  ! {told}", style="yellow", markup=False)
