"""Weights are laid out so that this processor answers with them."""

from pathlib import Path

import numpy as np
import pytest

from kt_resources.decoding.context import Feed
from kt_resources.generators import gguf_model
from kt_resources.generators.gguf_model import GgufContext, GgufModel
from kt_resources.quantizers.config import GgufTarget
from kt_resources.quantizers.export import export_gguf
from kt_resources.quantizers.quantize import quantize_gguf
from kt_resources.trainers.tiny import make_tiny_model

LENGTH = 64


def _logits(file: Path) -> np.ndarray:
    """After each of 64 tokens, which are read at once: (tokens, vocabulary)."""
    with GgufModel(file) as model:
        context = GgufContext(model, 1, LENGTH)
        context.decode(
            [Feed(token=7 * place % 900, position=place, sequence=0, wants_logits=True) for place in range(LENGTH)]
        )
        logits = np.stack([context.logits(place).copy() for place in range(LENGTH)])
        context.close()
    return logits


def test_weights_in_8_bits_answer_as_whole_ones_do(tmp_path: Path) -> None:
    """Of a width at which llama.cpp would lay them out for AMX."""
    make_tiny_model(
        tmp_path / "model", hidden_size=576, intermediate_size=1536, num_attention_heads=9, num_key_value_heads=3
    )
    export_gguf(tmp_path / "model", tmp_path / "whole.gguf", "F32")
    quantize_gguf(tmp_path / "whole.gguf", tmp_path / "m.gguf", GgufTarget(quant="Q8_0"), tmp_path / "log")
    whole, quantized = _logits(tmp_path / "whole.gguf"), _logits(tmp_path / "m.gguf")
    assert np.abs(quantized - whole).max() < 0.05 * np.abs(whole).max()


@pytest.mark.parametrize("built_for", ["AMX_INT8", "AVX512"])
def test_no_layout_for_tiles(built_for: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_model, "computes_in", lambda name: name == built_for)
    assert gguf_model.model_parameters().use_extra_bufts == (built_for != "AMX_INT8")
