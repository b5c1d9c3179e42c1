"""Qwen2, Qwen2.5 and Qwen3 (dense): rotary halves as in Hugging Face, so no tensor changes."""

from typing import TYPE_CHECKING, Any

from kt_resources.quantizers.families.base import Family, refuse_sliding_window

if TYPE_CHECKING:
    import gguf


class Qwen2(Family):
    """Qwen2ForCausalLM: biases on q, k and v."""

    architectures = ("Qwen2ForCausalLM",)
    gguf_arch = "qwen2"

    def write_hparams(self, writer: "gguf.GGUFWriter", config: Any) -> None:
        refuse_sliding_window(config, used=getattr(config, "use_sliding_window", False))
        super().write_hparams(writer, config)


class Qwen3(Qwen2):
    """Qwen3ForCausalLM: norms on q and k, a head width of its own."""

    architectures = ("Qwen3ForCausalLM",)
    gguf_arch = "qwen3"
