"""Architecture families that are exported to GGUF. Adding one is a module here, a line in the registry and a test."""

from typing import Any

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.families.base import Family
from kt_resources.quantizers.families.gemma import Gemma, Gemma2, Gemma3
from kt_resources.quantizers.families.llama import Llama, Mistral
from kt_resources.quantizers.families.qwen import Qwen2, Qwen3

FAMILIES: tuple[Family, ...] = (Llama(), Mistral(), Qwen2(), Qwen3(), Gemma(), Gemma2(), Gemma3())

ARCHITECTURES: dict[str, Family] = {name: family for family in FAMILIES for name in family.architectures}
"""Hugging Face architecture name → family."""


def family_of(config: Any) -> Family:
    """The family of a transformers configuration (or of ``config.json`` as a dict).

    Raises:
        QuantizeError: no family exports its architecture.
    """
    names = config.get("architectures") if isinstance(config, dict) else config.architectures
    name = (names or ["none"])[0]
    if name not in ARCHITECTURES:
        raise QuantizeError(
            f"architecture {name} cannot be exported to GGUF",
            where="config.json: architectures",
            mend=f"supported: {', '.join(sorted(ARCHITECTURES))}",
        )
    return ARCHITECTURES[name]


__all__ = ["ARCHITECTURES", "FAMILIES", "Family", "family_of"]
