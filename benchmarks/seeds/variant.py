"""A recipe under another seed: other rows, other order, other noise; the held-out items stay."""

from copy import deepcopy
from typing import Any

STRIDE = 100
"""Sources of seed ``s`` become those of ``s + 100 · variant``: no two variants share a row's generator state."""


def seeded(recipe: dict[str, Any], variant: int) -> dict[str, Any]:
    """The recipe of variant number ``variant``, which its line is named after; number 0 is the recipe itself.

    Args:
        recipe: as written, without relative paths: it moves to another folder.
    """
    found = deepcopy(recipe)
    if not variant:
        return found
    found["line"] = f"{recipe['line']}_seed{variant}"
    generated = [*found["data"]["sources"], (found["data"].get("synthetic") or {}).get("prompts", {})]
    for part in generated:
        if "seed" in part:
            part["seed"] += STRIDE * variant
    for dataset in found["datasets"].values():
        dataset["seed"] = dataset.get("seed", 0) + variant
    for step in found["training"]:
        optimization = step.setdefault("optimization", {})
        optimization["seed"] = optimization.get("seed", 0) + variant
    return found
