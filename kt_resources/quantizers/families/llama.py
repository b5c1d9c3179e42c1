"""Llama and Mistral: llama.cpp's ``llama`` rotates neighbouring pairs, so rows of q and k are permuted."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kt_resources.quantizers.families.base import Family, head_dim, refuse_sliding_window

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import torch


class Llama(Family):
    """LlamaForCausalLM: Llama 1 to 3, SmolLM, TinyLlama."""

    architectures = ("LlamaForCausalLM",)
    gguf_arch = "llama"

    def write_hparams(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        super().write_hparams(writer, config)
        writer.add_rope_dimension_count(head_dim(config))

    def rope_types(self) -> tuple[str, ...]:
        return ("default", "llama3")

    def transform(self, name: str, tensor: "torch.Tensor", config: Any) -> "torch.Tensor":
        if name.endswith(("q_proj.weight", "q_proj.bias")):
            return permute(tensor, config.num_attention_heads)
        if name.endswith(("k_proj.weight", "k_proj.bias")):
            return permute(tensor, config.num_key_value_heads)
        return tensor

    def extra_tensors(self, config: Any) -> Iterator[tuple[str, "np.ndarray"]]:
        if config.rope_parameters.get("rope_type") == "llama3":
            yield "rope_freqs.weight", llama3_frequency_factors(config)


class Mistral(Llama):
    """MistralForCausalLM without a sliding window."""

    architectures = ("MistralForCausalLM",)

    def write_hparams(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        refuse_sliding_window(config, used=True)
        super().write_hparams(writer, config)


def permute(tensor: "torch.Tensor", num_heads: int) -> "torch.Tensor":
    """Reorder the rows of a q or k projection from halves (i, i + d/2) to neighbours (2i, 2i + 1) in each head.

    Args:
        tensor: (num_heads · d, columns), or a bias of (num_heads · d,).
    """
    half = tensor.shape[0] // num_heads // 2
    return tensor.reshape(num_heads, 2, half, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def llama3_frequency_factors(config: Any) -> "np.ndarray":
    """Divisors of the rotary frequencies under Llama 3.1's scaling; shape (head_dim / 2,)."""
    import numpy as np

    rope, dim = config.rope_parameters, head_dim(config)
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    context, factor = float(rope["original_max_position_embeddings"]), float(rope["factor"])
    wavelengths = [2 * math.pi * float(rope["rope_theta"]) ** (index / dim) for index in range(0, dim, 2)]

    def divisor(wavelength: float) -> float:
        if wavelength < context / high:
            return 1.0
        if wavelength > context / low:
            return factor
        smooth = (context / wavelength - low) / (high - low)
        return 1 / ((1 - smooth) / factor + smooth)

    return np.array([divisor(wavelength) for wavelength in wavelengths], np.float32)
