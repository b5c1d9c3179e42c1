"""What the forward pass keeps for the backward pass, and what both need meanwhile.

The counts are exact for transformers' Llama under scaled-dot-product attention: they were read off autograd's saved
tensors (``tests/unit/compute/memory/test_activations.py`` compares byte for byte). In the words of Korthikanti et al.
2022 (arXiv:2205.05198, §4) with SwiGLU, grouped queries, a flash-like attention kernel and no dropout.
"""

from dataclasses import dataclass
from typing import Literal

from kt_resources.compute.memory.parts import UpdateMemory
from kt_resources.compute.memory.shape import ModelShape

FLOAT32 = 4


@dataclass(frozen=True)
class Attention:
    """How a block attends over sequences of ``length``.

    Attributes:
        kind: ``flash`` keeps no scores; ``masked`` is the same kernel under a mask, where rows are padded;
            ``products`` keeps every score (``trainers/attention.py``, bfloat16 on a CPU).
    """

    kind: Literal["flash", "masked", "products"]
    length: int


GROUPS = (("q_proj", "k_proj", "v_proj"), ("up_proj", "gate_proj"), ("down_proj",))
"""Linear layers that read one input; o_proj's is attention's output, which is kept anyway."""


def bytes_per_token(shape: ModelShape, update: UpdateMemory, dtype_bytes: int, attention: Attention) -> float:
    """Bytes that one block keeps of one token.

    The two norms keep their input, widened to float32, and their output where its scale is trained; the MLP keeps gate,
    activation and up; attention keeps q, k, v, its output and, a head, a sum or what its kind adds; the rest is what
    learning keeps of linear layers.
    """
    numbers = 2.0 * shape.hidden if update.all_weights else 0.0
    numbers += (3 if shape.gated else 1) * shape.intermediate + shape.queries + _attention_numbers(shape, attention)
    learning = _learning_bytes(shape, update, dtype_bytes)
    sums = 0.0 if attention.kind == "products" else FLOAT32 * shape.heads
    return numbers * dtype_bytes + learning + 2 * FLOAT32 * (shape.hidden + 1) + sums


def _attention_numbers(shape: ModelShape, attention: Attention) -> float:
    """Beside the output: q, k and v; under a mask k and v are repeated for every query head, and the mask is kept."""
    if attention.kind == "masked":
        return 3.0 * shape.queries + attention.length
    if attention.kind == "products":
        return shape.queries + 2.0 * shape.keys + shape.heads * attention.length
    return shape.queries + 2.0 * shape.keys


def _learning_bytes(shape: ModelShape, update: UpdateMemory, dtype_bytes: int) -> float:
    """What of a block's linear layers is kept because they learn.

    A layer whose weights or adapter learn keeps its input, one of each group that reads the same; under dropout, and
    where the adapter is wider than the weights, each adapted layer has an input of its own. Vectors keep what they
    multiply, and no input.
    """
    inputs = {name: width for name, (width, _) in shape.linears.items()}
    own = float(sum(inputs[name] for name in update.adapted))
    if update.vectors:
        return (update.vectors + (own if update.dropout else 0.0)) * FLOAT32
    wider = update.float32 and dtype_bytes < FLOAT32
    if update.dropout:
        numbers = 2 * own  # the input and its mask
    elif wider:
        numbers = own
    else:
        learning = set(inputs) if update.all_weights else set(update.adapted)
        numbers = float(sum(inputs[group[0]] for group in GROUPS if learning & set(group) & set(inputs)))
    return (numbers + _adapter_numbers(shape, update)) * (FLOAT32 if wider else dtype_bytes)


def _adapter_numbers(shape: ModelShape, update: UpdateMemory) -> float:
    """An adapter keeps ``A x``; with magnitudes also both summands of each adapted layer's output."""
    outputs = sum(outputs for name, (_, outputs) in shape.linears.items() if name in update.adapted)
    return len(update.adapted) * update.rank + (2 * outputs if update.magnitude else 0)


def kept_bytes(
    shape: ModelShape, update: UpdateMemory, dtype_bytes: int, tokens: int, checkpointing: bool, attention: Attention
) -> float:
    """Bytes kept by all blocks for ``tokens`` of a micro-batch, the final norm's included.

    With checkpointing each block keeps its input alone, and one block at a time keeps everything as it is recomputed.
    """
    block = bytes_per_token(shape, update, dtype_bytes, attention) * tokens
    last = shape.hidden * (FLOAT32 + dtype_bytes) * tokens
    if checkpointing:
        return shape.layers * shape.hidden * dtype_bytes * tokens + block + last
    return shape.layers * block + last


def working_bytes(shape: ModelShape, update: UpdateMemory, dtype_bytes: int, tokens: int) -> float:
    """Bytes that the pass through one block needs beside what is kept: the MLP's gradients, and weight-sized numbers.

    All weights: the widest layer's gradient. 4 bits: that layer in full. Magnitudes: an identity matrix of its width,
    the product of A and B, and the sum with the weight (PEFT's DoRA).
    """
    widest = max(shape.linears.values(), key=lambda sizes: sizes[0] * sizes[1])
    weight = widest[0] * widest[1]
    numbers = 0.0
    if update.all_weights or update.frozen_bits:
        numbers += weight
    if update.magnitude:
        numbers += max(sizes[0] * (sizes[0] + 2 * sizes[1]) for sizes in shape.linears.values())
    return (4.0 * shape.intermediate * tokens + numbers) * dtype_bytes
