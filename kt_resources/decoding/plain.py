"""Which models decode in slots; asked of ``config.json``, without importing torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

SlotPrecision = Literal["BF16", "F32"]
"""Of a checkpoint that transformers answers with in continuous batches."""

PLAIN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Architectures whose attention is softmax(q k) v of all that came before, where they have no window."""


def attends_plainly(folder: Path) -> bool:
    """Whether a checkpoint's attention is one that :mod:`kt_resources.decoding.slots` computes."""
    return is_plain(json.loads((folder / "config.json").read_text()))


def is_plain(config: Mapping[str, Any]) -> bool:
    """The same of a configuration as ``config.json`` has it."""
    window = config.get("sliding_window") and config.get("use_sliding_window", True)
    layers = set(config.get("layer_types") or ["full_attention"])
    return (config.get("architectures") or [""])[0] in PLAIN and not window and layers == {"full_attention"}
