"""Peak memory of a training, by part and by phase: what is held at once."""

from typing import Literal

from kt_resources.compute.memory.activations import working_bytes
from kt_resources.compute.memory.constants import KERNELS_LEFT
from kt_resources.compute.memory.held import (
    activation_bytes,
    cache_bytes,
    cast_bytes,
    gradient_bytes,
    has_copies,
    kernel_bytes,
    optimizer_bytes,
    other_models_bytes,
    stays_mapped,
    weight_bytes,
)
from kt_resources.compute.memory.logits import Head, head_bytes
from kt_resources.compute.memory.training import Training
from kt_resources.strict import Strict

GB = 1e9
Part = Literal[
    "process",
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "reference",
    "rollout_cache",
    "kernels",
    "allocator",
]
Phase = Literal["load", "train", "evaluate", "save", "measure"]


class Memory(Strict):
    """The prediction: bytes by part of each phase; the run's peak is the largest phase's sum."""

    phases: dict[Phase, dict[Part, float]]

    @property
    def peaks_gb(self) -> dict[Phase, float]:
        """Peak of each phase, in 10^9 bytes."""
        return {phase: sum(parts.values()) / GB for phase, parts in self.phases.items()}

    @property
    def phase(self) -> Phase:
        """The phase in which the peak lies."""
        return max(self.peaks_gb, key=lambda phase: self.peaks_gb[phase])

    @property
    def peak_gb(self) -> float:
        """The run's peak, in 10^9 bytes."""
        return self.peaks_gb[self.phase]

    @property
    def parts_gb(self) -> dict[Part, float]:
        """What the peak is made of, in 10^9 bytes; parts of nothing are left out."""
        return {part: size / GB for part, size in self.phases[self.phase].items() if size}


def predict(training: Training) -> Memory:
    """Bytes by part of every phase.

    On a CPU all phases share the process's memory. On a GPU saving and measuring happen in the machine's memory, and
    take none of the device's.
    """
    phases: dict[Phase, dict[Part, float]] = {
        "load": _load(training),
        "train": _train(training),
        "evaluate": _evaluate(training),
    }
    if training.kind == "cpu":
        phases["save"], phases["measure"] = _save(training), _measure(training)
    return Memory(phases={phase: _with_allocator(training, parts) for phase, parts in phases.items()})


def host_gb(training: Training) -> float:
    """Memory of the machine itself where the model lives on a GPU: merging and measuring, in float32."""
    on_cpu = training.model_copy(update={"kind": "cpu", "shards": 1})
    return max(sum(parts.values()) for parts in (_save(on_cpu), _measure(on_cpu))) / GB


def _base(training: Training) -> dict[Part, float]:
    return {
        "process": training.constants.process_gb * GB,
        "kernels": kernel_bytes(training),
        "weights": weight_bytes(training),
        "reference": other_models_bytes(training),
    }


def _load(training: Training) -> dict[Part, float]:
    """On a CPU the checkpoint's file is mapped into memory beside weights made of it in another precision."""
    copied = training.kind == "cpu" and not stays_mapped(training)
    mapped = training.shape.parameters * training.shape.stored_bytes if copied else 0.0
    parts = _base(training)
    return parts | {"weights": parts["weights"] + mapped, "kernels": 0.0}


def _train(training: Training) -> dict[Part, float]:
    """The largest of: the loss, when everything is kept; the backward pass's end; the optimizer's step; generating."""
    rows, length = training.rows_of_pass(training.lengths.longest)
    tokens = round(rows * length)
    kept = activation_bytes(training, tokens)
    working = working_bytes(training.shape, training.update, training.dtype_bytes, tokens)
    head = _head(training, tokens, training.sequences * training.scored)
    if training.update.head:  # the head's own gradient is made in float32, beside the embedding's
        head += 2 * training.shape.vocab * training.shape.hidden * 4 / training.shards
    gradients: dict[Part, float] = {"gradients": gradient_bytes(training), "optimizer": optimizer_bytes(training)}
    kept += cast_bytes(training)
    keeping: dict[Part, float] = {"activations": kept + max(0.0, working - head), "logits": head}
    loss = gradients | keeping
    if not training.accumulates:  # cleared after each step, and made as the activations go
        loss |= {"gradients": 0.0}
    ended = gradients | {"activations": working}
    rolling = _rollout(training) | {"optimizer": gradients["optimizer"]}
    moments = [_base(training) | parts for parts in (loss, ended, _stepping(training), rolling)]
    return max(moments, key=lambda parts: sum(parts.values()))


def _stepping(training: Training) -> dict[Part, float]:
    """The optimizer's step: no activations; float32 copies have their gradients in place of the weights'."""
    copies = 4.0 * training.update.trained / training.shards
    gradients = copies if has_copies(training) else gradient_bytes(training)
    return {"gradients": gradients, "optimizer": optimizer_bytes(training)}


def _head(training: Training, tokens: int, scored: int) -> float:
    how: Head = "in_place" if training.kind in ("cuda", "rocm") else "tiles"
    if training.kind == "cpu" and not training.update.head:
        how = "frozen"
    head = head_bytes(training.shape, training.objective, training.dtype_bytes, tokens, scored, how)
    return head * (1 + training.objective.companions)


def _rollout(training: Training) -> dict[Part, float]:
    """Generating: the cache of all completions of a step's pass, and one position's logits of each.

    On a CPU an adapter is folded into a second set of linear weights meanwhile (``trainers/rollouts.py``).
    """
    if training.objective.rollouts is None:
        return {}
    folds = training.kind == "cpu" and training.update.folds
    folded = training.shape.linear_parameters * training.dtype_bytes if folds else 0
    sequences = training.generated or training.sequences
    logits = 4.0 * sequences * training.shape.vocab * 4
    return {
        "weights": weight_bytes(training) + folded,
        "rollout_cache": cache_bytes(training, sequences, training.length),
        "logits": logits,
    }


def _evaluate(training: Training) -> dict[Part, float]:
    """A pass without gradients: one block's working numbers and the head."""
    tokens = training.sequences * training.length
    head = _head(training, tokens, training.sequences * training.scored)
    block = (4.0 * training.shape.intermediate + 6 * training.shape.hidden) * training.dtype_bytes * tokens
    optimizer = optimizer_bytes(training)
    return _base(training) | {"optimizer": optimizer, "logits": head, "activations": block} | _rollout(training)


def _save(training: Training) -> dict[Part, float]:
    """The start model in float32 with the adapter folded in, and the same cast to the stored type.

    Without an adapter, tensor by tensor: the stored start, and the moved weights in float32.
    """
    parameters, stored = training.shape.parameters, training.shape.stored_bytes
    weights = parameters * (4 + stored)
    return _after(training) | {"weights": weights}


def _after(training: Training) -> dict[Part, float]:
    """What a finished training leaves: the libraries, and the part of the kernels that no trimming gives back."""
    return {"process": training.constants.after_gb * GB, "kernels": KERNELS_LEFT * kernel_bytes(training)}


def _measure(training: Training) -> dict[Part, float]:
    """A float32 model and the mapped file that it is loaded from, or the largest matrix thrice in float64."""
    parameters, stored = training.shape.parameters, training.shape.stored_bytes
    widest = 3 * 8 * training.shape.vocab * training.shape.hidden
    weights = parameters * (4 + stored)
    return _after(training) | {"weights": max(weights, float(widest))}


def _with_allocator(training: Training, parts: dict[Part, float]) -> dict[Part, float]:
    """Beside what is asked for, what the allocator holds in pieces too small to use: a share of what comes and goes."""
    moving: tuple[Part, ...] = ("activations", "logits", "rollout_cache")
    share = training.constants.allocator_share
    return parts | {"allocator": share * sum(parts.get(part, 0.0) for part in moving)}
