"""What an architecture family says about its export: hyperparameters, and how tensors differ from llama.cpp's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kt_resources.errors import QuantizeError

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import torch


class Family:
    """One family of architectures.

    Attributes:
        architectures: Hugging Face architecture names that it exports.
        gguf_arch: name of the architecture in llama.cpp (``gguf.MODEL_ARCH``).
    """

    architectures: tuple[str, ...] = ()
    gguf_arch: str = ""

    def write_hparams(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        """Write the hyperparameters of ``config`` (a transformers configuration)."""
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(head_dim(config))
        writer.add_value_length(head_dim(config))
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_vocab_size(config.vocab_size)
        self.write_rope(writer, config)

    def write_rope(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        """Write rotary position embedding: its base, and linear scaling; other scalings are refused."""
        import gguf

        rope = config.rope_parameters
        writer.add_rope_freq_base(float(rope["rope_theta"]))
        kind = rope.get("rope_type", "default")
        if kind == "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(float(rope["factor"]))
        elif kind not in self.rope_types():
            known = ", ".join(sorted(("linear", *self.rope_types())))
            raise QuantizeError(
                f"rope scaling {kind!r} is not exported for {self.gguf_arch}",
                where="config.json: rope_parameters",
                mend=f"use a model with one of: {known}",
            )

    def rope_types(self) -> tuple[str, ...]:
        """Kinds of rope scaling, ``linear`` aside, that this family exports."""
        return ("default",)

    def transform(self, name: str, tensor: "torch.Tensor", config: Any) -> "torch.Tensor":
        """The tensor as llama.cpp stores it; ``name`` is its Hugging Face name."""
        return tensor

    def skips(self, name: str, config: Any) -> bool:
        """Whether the tensor of that Hugging Face name is left out: a tied output head, buffers."""
        return name.endswith("rotary_emb.inv_freq") or (name == "lm_head.weight" and config.tie_word_embeddings)

    def extra_tensors(self, config: Any) -> Iterator[tuple[str, "np.ndarray"]]:
        """Tensors that the checkpoint does not hold: GGUF name and float32 array."""
        yield from ()


def head_dim(config: Any) -> int:
    """Width of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def refuse_sliding_window(config: Any, used: bool) -> None:
    """Raise where the model attends through a window that llama.cpp's architecture does not have."""
    window = getattr(config, "sliding_window", None)
    if used and window is not None and window < config.max_position_embeddings:
        raise QuantizeError(
            f"a sliding window of {window} tokens is not exported for {config.architectures[0]}",
            where="config.json: sliding_window",
            mend=f"set sliding_window to null and max_position_embeddings to {window}; shorter texts answer alike",
        )
