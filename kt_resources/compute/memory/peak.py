"""Peak memory of a training, by part and by phase, from shape, axes, options and row lengths."""

import math
from typing import Literal

from pydantic import Field

from kt_resources.compute.memory.activations import Attention, kept_bytes, working_bytes
from kt_resources.compute.memory.constants import (
    CPU,
    CUDA,
    KEPT_KERNELS,
    KERNEL_BYTES,
    KERNELS_A_LENGTH,
    KERNELS_LEFT,
    Constants,
)
from kt_resources.compute.memory.logits import Head, head_bytes
from kt_resources.compute.memory.parts import Lengths, ObjectiveMemory, UpdateMemory
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.needs import Precision
from kt_resources.strict import Strict

GB = 1e9
LONGEST_SHORT = 512
"""``LONGEST`` of ``trainers/attention.py``, which imports torch."""

BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
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


class Training(Strict):
    """All that memory depends on.

    Attributes:
        micro_batch: rows of a pass on one process (of an online objective: completions).
        lengths: of the rows; a batch is as long as its longest row.
        padded: rows of a batch differ in length.
        batch_lengths: different lengths that batches have over the run, at most.
        kind: where the model lives; on ``cpu`` the process and the model share one memory.
        generated: sequences that an online objective generates at once; 0 takes those of a pass.
        accumulates: a step has several passes, whose gradients are held while the next one's activations are.
        shards: processes over which FSDP splits weights, gradients and optimizer state.
    """

    shape: ModelShape
    update: UpdateMemory
    objective: ObjectiveMemory
    lengths: Lengths
    micro_batch: int = Field(ge=1)
    precision: Precision = "bf16"
    checkpointing: bool = False
    padded: bool = True
    batch_lengths: int = Field(default=1, ge=1)
    generated: int = Field(default=0, ge=0)
    accumulates: bool = False
    kind: Literal["cuda", "rocm", "mps", "cpu"] = "cuda"
    shards: int = Field(default=1, ge=1)

    @property
    def constants(self) -> Constants:
        return CPU if self.kind == "cpu" else CUDA

    @property
    def dtype_bytes(self) -> int:
        return BYTES[self.precision]

    @property
    def length(self) -> int:
        """Tokens of the longest sequence in a pass, its completion included."""
        rollouts = self.objective.rollouts
        return self.lengths.longest + (rollouts.completion if rollouts else 0)

    @property
    def attention(self) -> Attention:
        """How its blocks attend: by products in bfloat16 on a CPU up to 512 tokens, else by torch's kernel."""
        length = round(self.rows_of_pass(self.lengths.longest)[1])
        if self.kind == "cpu" and self.precision == "bf16" and length <= LONGEST_SHORT:
            return Attention("products", length)
        return Attention("masked" if self.padded else "flash", length)

    def rows_of_pass(self, tokens: float, answer: float | None = None) -> tuple[int, float]:
        """Rows that a pass with gradients computes, and the tokens of each, where a dataset's row has ``tokens``.

        On a CPU up to 512 tokens the answers to one prompt stand behind it in one row (``shared_prompts.py``).

        Args:
            answer: tokens of an answer (of an online objective not among ``tokens``); the longest where not given.
        """
        rollouts = self.objective.rollouts
        if rollouts is None and not self.objective.shares_prompts:
            return self.sequences, tokens
        answer = answer or (rollouts.completion if rollouts else self.lengths.scored)
        rows, length = self.sequences, tokens + (answer if rollouts else 0)
        prompts = min(rows, math.ceil(max(self.generated, rows) / rollouts.group)) if rollouts else self.micro_batch
        shared = length + (math.ceil(rows / prompts) - 1) * answer
        fewer = shared <= LONGEST_SHORT and prompts * shared < rows * length
        return (prompts, shared) if self.kind == "cpu" and fewer else (rows, length)

    @property
    def mean_completion(self) -> float:
        """Tokens of an online objective's completions: the mean where it is known, else as many as they may have."""
        rollouts = self.objective.rollouts
        return (self.lengths.mean_scored or rollouts.completion) if rollouts else 0.0

    @property
    def scored(self) -> int:
        """Scored positions of the longest sequence."""
        rollouts = self.objective.rollouts
        return rollouts.completion if rollouts else self.lengths.scored

    @property
    def sequences(self) -> int:
        """Sequences of a pass."""
        return self.micro_batch * self.objective.sequences


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


def weight_bytes(training: Training) -> float:
    """The start model's weights and the adapter's, as they are held in training.

    ``frozen_bits`` a weight of the linear layers, the rest in the training precision; an adapter of its own beside. On
    a CPU numbers that are stored in that precision stay in the mapped file, and as long as one does, all of it.
    """
    shape, update = training.shape, training.update
    frozen = update.frozen_bits / 8 if update.frozen_bits else training.dtype_bytes
    rest = shape.parameters - shape.linear_parameters
    if update.frozen_bits and stays_mapped(training):
        rest = shape.parameters
    adapter = 0 if update.all_weights else update.trained * _trained_bytes(training)
    return (shape.linear_parameters * frozen + rest * training.dtype_bytes + adapter) / training.shards


def stays_mapped(training: Training) -> bool:
    """Whether weights are used where the checkpoint's file is mapped, and not copied."""
    return training.kind == "cpu" and training.dtype_bytes == training.shape.stored_bytes


def _trained_bytes(training: Training) -> int:
    return 4 if training.update.float32 or training.precision == "fp16" else training.dtype_bytes


def gradient_bytes(training: Training) -> float:
    """One number a trained parameter, in its own type."""
    return training.update.trained * _trained_bytes(training) / training.shards


def optimizer_bytes(training: Training) -> float:
    """AdamW's two float32 moments; where weights are trained in bf16, their float32 copies too."""
    copies = 1 if has_copies(training) else 0
    return 4.0 * training.update.trained * (training.update.state_numbers + copies) / training.shards


def has_copies(training: Training) -> bool:
    """Whether ``trainers/optimizer.py`` keeps float32 copies of what is trained."""
    return _trained_bytes(training) == 2


def activation_bytes(training: Training, tokens: float) -> float:
    """What the blocks keep of ``tokens`` for the backward pass."""
    how = training.checkpointing, training.attention
    return kept_bytes(training.shape, training.update, training.dtype_bytes, round(tokens), *how)


def other_models_bytes(training: Training) -> float:
    """A reference model where all weights are trained, and every companion, in the training precision."""
    reference = training.objective.reference == "start" and training.update.all_weights
    models = training.objective.companions + (1 if reference else 0)
    return models * training.shape.parameters * training.dtype_bytes / training.shards


def cache_bytes(training: Training, sequences: int, tokens: int) -> float:
    """Keys and values of ``tokens`` of each sequence while it is generated; concatenation holds one layer twice."""
    numbers = 2 * training.shape.layers * training.shape.keys * sequences * tokens
    return float(numbers * training.dtype_bytes) * (1 + 1 / training.shape.layers)


def kernel_bytes(training: Training) -> float:
    """Products that oneDNN has compiled in bf16 on a CPU: anew for every length of a batch, the last 1024 are kept.

    Nothing in float32 (MKL), and nothing on a GPU.
    """
    if training.kind != "cpu" or training.precision != "bf16":
        return 0.0
    return min(KEPT_KERNELS, KERNELS_A_LENGTH * training.batch_lengths) * KERNEL_BYTES


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
    folds = training.kind == "cpu" and not training.update.all_weights
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
