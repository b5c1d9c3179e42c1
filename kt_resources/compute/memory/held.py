"""Bytes that a training holds of each kind: weights, gradients, optimizer state, activations, caches."""

from kt_resources.compute.memory.activations import kept_bytes
from kt_resources.compute.memory.constants import KEPT_KERNELS, KERNEL_BYTES, KERNELS_A_LENGTH
from kt_resources.compute.memory.training import Training


def weight_bytes(training: Training) -> float:
    """The start model's weights and the adapter's, as they are held in training.

    ``frozen_bits`` a weight of the linear layers, the rest as it is loaded; an adapter of its own beside. On a CPU
    numbers that are stored in that precision stay in the mapped file, and as long as one does, all of it.
    """
    shape, update = training.shape, training.update
    frozen = update.frozen_bits / 8 if update.frozen_bits else training.loaded_bytes
    rest = shape.parameters - shape.linear_parameters
    if (update.frozen_bits or update.rewritten) and stays_mapped(training):
        rest = shape.parameters
    adapter = 0 if update.all_weights else update.trained * _trained_bytes(training)
    return (shape.linear_parameters * frozen + rest * training.loaded_bytes + adapter) / training.shards


def stays_mapped(training: Training) -> bool:
    """Whether weights are used where the checkpoint's file is mapped, and not copied."""
    return training.kind == "cpu" and training.dtype_bytes == training.shape.stored_bytes


def _trained_bytes(training: Training) -> int:
    in_float32 = training.update.float32 or training.precision == "fp16" or training.shards > 1
    return 4 if in_float32 else training.dtype_bytes


def cast_bytes(training: Training) -> float:
    """Copies in fp16 of weights that are trained in float32: autocast makes them, and the backward pass needs them."""
    if training.precision != "fp16" or training.loaded_bytes == 2 or training.shards > 1:
        return 0.0
    return 2.0 * (training.shape.linear_parameters + training.shape.vocab * training.shape.hidden)


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
    """A reference model where all weights are trained, and every companion, loaded as the weights are."""
    reference = training.objective.reference == "start" and training.update.all_weights
    models = training.objective.companions + (1 if reference else 0)
    return models * training.shape.parameters * training.loaded_bytes / training.shards


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
