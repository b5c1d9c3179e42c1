"""A training step in the words of the memory model: what its update strategy and its objective hold.

Read off the options that the strategies share, so that a new one that is a kind of LoRA, or trains all weights, needs
nothing here. Imports no torch.
"""

from collections.abc import Callable, Sequence
from typing import Any

from kt_resources.compute.devices import Device
from kt_resources.compute.memory.parts import Lengths, ObjectiveMemory, Rollouts, UpdateMemory
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.memory.training import Training
from kt_resources.compute.needs import Needs, Precision
from kt_resources.trainers.objectives.base import ObjectiveConfig
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates.base import UpdateStrategy
from kt_resources.trainers.updates.lora import LoraBase

MLP = ("gate_proj", "up_proj", "down_proj")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
INTENTS = {"attention": ATTENTION, "mlp": MLP, "all-linear": ATTENTION + MLP}

NF4_BITS = 4.127
"""Bits a weight of NF4 with double quantization: 4 + 8/64 + 32/(64 · 256) (arXiv:2305.14314, §3); 4.5 without it."""

WHOLE_LOGITS = ("orpo", "cpo", "simpo", "distillation", "cross_distillation")
"""Objectives whose trainer takes the model's logits whole; the others go through TRL's fused head."""

NO_REFERENCE = ("orpo", "cpo", "simpo")


def update_memory(update: UpdateStrategy, shape: ModelShape) -> UpdateMemory:
    """What ``update`` trains and holds on a model of ``shape``."""
    special = _SPECIAL.get(update.type)
    if special is not None:
        return special(update, shape)
    if not update.has_adapter:
        return UpdateMemory(trained=shape.parameters, all_weights=True, head=True)
    rank = getattr(update, "r", getattr(update, "init_r", 16)) * getattr(update, "experts", 1)
    adapted = _adapted(getattr(update, "target_modules", "all-linear"), shape)
    magnitude = "dora" in update.type
    a_layer = sum(rank * sum(shape.linears[name]) for name in adapted)
    magnitudes = sum(shape.linears[name][1] for name in adapted) if magnitude else 0
    return UpdateMemory(
        trained=shape.layers * (a_layer + magnitudes),
        adapted=adapted,
        rank=rank,
        frozen_bits=_frozen_bits(update),
        rewritten=update.type == "pissa",
        folds=isinstance(update, LoraBase) and not hasattr(update, "quant_type"),
        magnitude=magnitude,
        dropout=getattr(update, "dropout", 0.0) > 0,
        float32=update.type in ("pissa", "loftq", "adalora"),
        decomposed=_decomposed(adapted, shape) if update.type == "pissa" and getattr(update, "niter", 0) is None else 0,
    )


def _decomposed(names: Sequence[str], shape: ModelShape) -> float:
    """Operations of the singular value decompositions of those layers of all blocks.

    6 m n² + 20 n³ each, n the shorter side: R-SVD with both factors thin (Golub and Van Loan, §8.6).
    """
    sides = [sorted(shape.linears[name]) for name in names]
    return float(shape.layers * sum(6 * longer * shorter**2 + 20 * shorter**3 for shorter, longer in sides))


def _adapted(targets: str | Sequence[str], shape: ModelShape) -> tuple[str, ...]:
    """The linear layers of a block that ``target_modules`` names; a name that the block has not counts as all."""
    named = INTENTS.get(targets, (targets,)) if isinstance(targets, str) else tuple(targets)
    found = tuple(name for name in shape.linears if name in named)
    return found or tuple(shape.linears)


def _frozen_bits(update: UpdateStrategy) -> float | None:
    if not hasattr(update, "quant_type"):
        return None
    return NF4_BITS if getattr(update, "double_quant", True) else 4.5


def _vera(update: Any, shape: ModelShape) -> UpdateMemory:
    """Two vectors a layer are trained, on ``A x`` and on the output; the shared A and B lie in the process's share."""
    adapted = _adapted(update.target_modules, shape)
    vectors = sum(shape.linears[name][1] + update.r for name in adapted)
    return UpdateMemory(
        trained=shape.layers * vectors,
        adapted=adapted,
        rank=update.r,
        vectors=vectors,
        dropout=update.dropout > 0,
        float32=True,
    )


def _ia3(update: Any, shape: ModelShape) -> UpdateMemory:
    """One vector each on keys, values and what the MLP's last layer reads."""
    vectors = 2 * shape.keys + shape.intermediate
    adapted = ("k_proj", "v_proj", "down_proj")
    return UpdateMemory(trained=shape.layers * vectors, adapted=adapted, rank=0, vectors=vectors, float32=True)


def _soft_prompt(update: Any, shape: ModelShape) -> UpdateMemory:
    """``num_virtual_tokens`` vectors: of the embedding, or a key and a value in every layer (prefix)."""
    tokens = getattr(update, "num_virtual_tokens", 20)
    width = 2 * shape.layers * shape.keys if "prefix" in update.type else shape.hidden
    return UpdateMemory(trained=tokens * width, float32=True)


def _galore(update: Any, shape: ModelShape) -> UpdateMemory:
    """All weights have a gradient; AdamW's moments live in rank r, with a projection (arXiv:2403.03507, table 1)."""
    rank = update.r
    moments = projection = 0
    for inputs, outputs in shape.linears.values():
        moments += 2 * min(rank, inputs, outputs) * max(inputs, outputs)
        projection += min(rank, inputs, outputs) * min(inputs, outputs)
    rest = shape.parameters - shape.linear_parameters
    state = shape.layers * (moments + projection) + 2 * rest
    numbers = state / shape.parameters
    return UpdateMemory(
        trained=shape.parameters,
        all_weights=True,
        head=True,
        state_numbers=numbers,
        decomposed=_decomposed(_adapted(update.target_modules, shape), shape),
        decomposed_every=update.update_every,
    )


def _spectrum(update: Any, shape: ModelShape) -> UpdateMemory:
    """A fraction of the targeted matrices is trained; the rest has no gradient. Every block counts as learning."""
    targets = _adapted(update.target_modules, shape)
    weights = shape.layers * sum(shape.linears[name][0] * shape.linears[name][1] for name in targets)
    decomposed = _decomposed(targets, shape)
    return UpdateMemory(trained=round(update.fraction * weights), all_weights=True, decomposed=decomposed)


_SPECIAL: dict[str, Callable[[Any, ModelShape], UpdateMemory]] = {
    "vera": _vera,
    "ia3": _ia3,
    "prompt_tuning": _soft_prompt,
    "prefix_tuning": _soft_prompt,
    "galore": _galore,
    "spectrum": _spectrum,
}


def objective_memory(objective: ObjectiveConfig) -> ObjectiveMemory:
    """What ``objective`` holds in a pass beside the start model."""
    pairs = objective.rows == "preference_pairs"
    online = objective.rows == "prompts"
    compares = (pairs or objective.rows == "labels") and objective.type not in (*NO_REFERENCE, "reward_model")
    held = getattr(objective, "kl_beta", 0.0) > 0
    compares = compares or held or (online and getattr(objective, "beta", 0.0) > 0)
    rollouts = Rollouts(
        completion=getattr(objective, "max_completion_length", 256),
        group=getattr(objective, "num_generations", 8),
        iterations=getattr(objective, "num_iterations", 1),
    )
    whole = (
        "all" if held or objective.type in WHOLE_LOGITS else "none" if objective.type == "reward_model" else "labelled"
    )
    return ObjectiveMemory(
        sequences=2 if pairs else 1,
        logits=whole,
        reference="start" if compares else "none",
        companions=len(objective.companions),
        shares_prompts=pairs and whole == "labelled",
        rollouts=rollouts if online else None,
    )


def training_of(
    shape: ModelShape,
    objective: ObjectiveConfig,
    update: UpdateStrategy,
    optimization: Optimization,
    lengths: Lengths,
    device: Device,
    precision: Precision,
    needs: Needs | None = None,
) -> Training:
    """The memory model's input for one training step on ``device``."""
    sharded = needs is not None and needs.sharding == "fsdp" and device.kind != "cpu"  # there plain data parallel
    held = objective_memory(objective)
    return Training(
        shape=shape,
        update=update_memory(update, shape),
        objective=held,
        lengths=lengths,
        micro_batch=optimization.micro_batch_size,
        precision=precision,
        checkpointing=optimization.gradient_checkpointing,
        batch_lengths=_batch_lengths(objective, optimization, lengths),
        padded=optimization.micro_batch_size * held.sequences > 1 or held.rollouts is not None,
        generated=optimization.micro_batch_size * optimization.gradient_accumulation_steps,
        accumulates=optimization.gradient_accumulation_steps > 1,
        kind=device.kind,
        shards=needs.devices if needs is not None and sharded else 1,
    )


def _batch_lengths(objective: ObjectiveConfig, optimization: Optimization, lengths: Lengths) -> int:
    """How many lengths of batches there can be; completions differ every time, and end one after the other."""
    passes = _num_passes(optimization, lengths)
    if objective.rows == "prompts":
        return passes + optimization.micro_batch_size
    return max(1, min(lengths.distinct, passes))


def _num_passes(optimization: Optimization, lengths: Lengths) -> int:
    """Micro-batches of the run, about; as many as there are lengths where the rows are not made yet."""
    if optimization.max_steps:
        return optimization.max_steps * optimization.gradient_accumulation_steps
    if lengths.num_rows is None:
        return lengths.distinct
    return int(lengths.num_rows * optimization.num_epochs / optimization.micro_batch_size) + 1
