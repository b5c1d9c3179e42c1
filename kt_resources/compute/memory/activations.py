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


GROUPS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("up_proj", "gate_proj"), ("down_proj",))
"""Linear layers that read one input."""


def bytes_per_token(shape: ModelShape, update: UpdateMemory, dtype_bytes: int, attention: Attention) -> float:
    """Bytes that one block keeps of one token.

    The two norms keep their input, widened to float32, and their output where its scale is trained; each group of
    linear layers keeps its input where one of the group is trained or adapted; the MLP keeps gate, activation and up;
    attention keeps q, k, v, its output and, a head, a sum or what its kind adds.
    """
    trained = update.all_weights
    numbers = 2.0 * shape.hidden if trained else 0.0
    numbers += _inputs(shape, update) + _adapter_numbers(shape, update)
    numbers += (3 if shape.gated else 1) * shape.intermediate
    sums = 0.0 if attention.kind == "products" else FLOAT32 * shape.heads
    return (numbers + _attention_numbers(shape, attention)) * dtype_bytes + 2 * FLOAT32 * (shape.hidden + 1) + sums


def _attention_numbers(shape: ModelShape, attention: Attention) -> float:
    """Beside the output: q, k and v; under a mask k and v are repeated for every query head, and the mask is kept."""
    if attention.kind == "masked":
        return 3.0 * shape.queries + attention.length
    if attention.kind == "products":
        return shape.queries + 2.0 * shape.keys + shape.heads * attention.length
    return shape.queries + 2.0 * shape.keys


def _inputs(shape: ModelShape, update: UpdateMemory) -> float:
    """Inputs of linear layers: one a group that learns; attention keeps its output, o_proj's input, in any case.

    Under dropout each adapted layer keeps an input and a mask of its own instead.
    """
    inputs = {name: width for name, (width, _) in shape.linears.items()}
    if update.dropout:
        return shape.queries + 2.0 * sum(inputs[name] for name in update.adapted)
    learning = set(inputs) if update.all_weights else set(update.adapted) | {"o_proj"}
    return float(sum(inputs[group[0]] for group in GROUPS if learning & set(group) & set(inputs)))


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
