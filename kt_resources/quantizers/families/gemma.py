"""Gemma 1 to 3 (text): norms are stored as weight + 1, embeddings are tied."""

from typing import TYPE_CHECKING, Any

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.families.base import Family, head_dim

if TYPE_CHECKING:
    import gguf
    import torch


class Gemma(Family):
    """GemmaForCausalLM."""

    architectures = ("GemmaForCausalLM",)
    gguf_arch = "gemma"

    def transform(self, name: str, tensor: "torch.Tensor", config: Any) -> "torch.Tensor":
        return tensor.float() + 1 if name.endswith("norm.weight") else tensor

    def skips(self, name: str, config: Any) -> bool:
        return name == "lm_head.weight" or super().skips(name, config)


class Gemma2(Gemma):
    """Gemma2ForCausalLM: soft-capped logits; every other layer attends through a window."""

    architectures = ("Gemma2ForCausalLM",)
    gguf_arch = "gemma2"
    window_pattern = 2

    def write_hparams(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        super().write_hparams(writer, config)
        _require_query_scale(config)
        _require_pattern(config, self.window_pattern)
        writer.add_sliding_window(config.sliding_window)
        if config.attn_logit_softcapping:
            writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        if config.final_logit_softcapping:
            writer.add_final_logit_softcapping(config.final_logit_softcapping)


class Gemma3(Gemma2):
    """Gemma3ForCausalLM (text): norms on q and k; every sixth layer attends to all, with its own rotary base."""

    architectures = ("Gemma3ForCausalLM",)
    gguf_arch = "gemma3"
    window_pattern = 6

    def write_rope(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        import gguf

        whole, window = config.rope_parameters["full_attention"], config.rope_parameters["sliding_attention"]
        writer.add_rope_freq_base(float(whole["rope_theta"]))
        writer.add_rope_freq_base_swa(float(window["rope_theta"]))
        kinds = whole.get("rope_type", "default"), window.get("rope_type", "default")
        if kinds == ("linear", "default"):
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(float(whole["factor"]))
        elif kinds != ("default", "default"):
            raise QuantizeError(f"rope scaling {kinds} is not exported for gemma3", where="config.json")


def _require_query_scale(config: Any) -> None:
    """llama.cpp scales queries by 1/√head_dim (the 27B models, told by their depth, by 1/√(hidden/heads))."""
    expected = {head_dim(config), config.hidden_size // config.num_attention_heads}
    is_27b = config.num_hidden_layers in (46, 62)
    if config.query_pre_attn_scalar not in (expected if is_27b else {head_dim(config)}):
        raise QuantizeError(
            f"query_pre_attn_scalar {config.query_pre_attn_scalar} differs from head_dim {head_dim(config)}",
            where="config.json",
            mend="llama.cpp has no place for it; only released sizes of the Gemma family are exported",
        )


def _require_pattern(config: Any, pattern: int) -> None:
    """llama.cpp knows which layers attend through a window by their number alone."""
    expected = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(config.num_hidden_layers)]
    if list(config.layer_types) != expected:
        raise QuantizeError(f"layer_types is not one full layer in {pattern}", where="config.json")
