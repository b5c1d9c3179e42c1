"""What can be said of a merged model from the files alone: against the base model, and against each input."""

import math
from pathlib import Path
from typing import Any

from kt_resources.mergers.spec import MergeSpec
from kt_resources.trainers.measure import Probes, measure
from kt_resources.trainers.saving import read_tensor, tensors


def measure_merge(spec: MergeSpec) -> dict[str, Any]:
    """Facts for the contract; every value is deterministic.

    Those of :func:`kt_resources.trainers.measure.measure` against the base model, and ``distance_to_<input>``, with
    ``min_distance_to_input``: a merge at distance 0 from an input is that input, and nothing was composed.
    """
    prompts = [[dict(message) for message in prompt] for prompt in spec.probe_prompts]
    facts = measure(spec.base_dir, spec.out_dir, Probes(prompts, spec.max_new_tokens))
    distances = {one.name: relative_distance(one.dir, spec.out_dir / "model") for one in spec.inputs}
    named = {f"distance_to_{name}": distance for name, distance in distances.items()}
    return facts | named | {"min_distance_to_input": min(distances.values()), "method": spec.method.method}


def relative_distance(one: Path, other: Path) -> float:
    """‖W − V‖ / ‖V‖ over all tensors of checkpoint V = ``one`` against W = ``other``; infinite where shapes differ."""
    before, after = tensors(one), tensors(other)
    moved = norm = 0.0
    for name, file in before.items():
        if name not in after:
            return math.inf
        old, new = read_tensor(file, name).double(), read_tensor(after[name], name).double()
        if old.shape != new.shape:
            return math.inf
        moved, norm = moved + (new - old).norm().item() ** 2, norm + old.norm().item() ** 2
    return math.sqrt(moved / norm) if norm else math.inf
