"""The export answers as the checkpoint does, for a tiny random model of every family."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.export import export_gguf

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "default", "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama with biases": {"model_type": "llama", "attention_bias": True},
    "llama 3.1": {"model_type": "llama", "rope_parameters": LLAMA3},
    "llama untied": {"model_type": "llama", "tie_word_embeddings": False},
    "mistral": {"model_type": "mistral", "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 32, "tie_word_embeddings": True},
    "gemma": {"model_type": "gemma", "num_key_value_heads": 1},
    "gemma2": {"model_type": "gemma2", "query_pre_attn_scalar": 16, "sliding_window": 8},
    "gemma3": {
        "model_type": "gemma3_text",
        "query_pre_attn_scalar": 16,
        "sliding_window": 8,
        "num_hidden_layers": 6,
        "rope_parameters": GEMMA3_ROPE,
    },
}
PROMPT = [{"role": "user", "content": "What is 12 + 30? Explain."}]


def random_model(folder: Path, tokenizer_dir: Path, options: dict[str, Any]) -> Any:
    """Save a random model of the family, norms and biases random too, with the tiny tokenizer; return it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = AutoConfig.for_model(**{**SIZES, **options}, vocab_size=len(tokenizer), **ids)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_dir / file, folder / file)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_export_answers_as_the_checkpoint(family: str, tiny_model_dir: Path, tmp_path: Path) -> None:
    import torch

    from kt_resources.generators.config import Sampling
    from kt_resources.generators.llama_cpp import LlamaCppEngine

    model = random_model(tmp_path / "model", tiny_model_dir, FAMILIES[family])
    export_gguf(tmp_path / "model", tmp_path / "exact.gguf", "F32")
    export_gguf(tmp_path / "model", tmp_path / "half.gguf", "F16")
    exact = LlamaCppEngine(tmp_path / "exact.gguf", tmp_path / "model")
    ids = exact.tokenizer.encode_chat(PROMPT)
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0].numpy()
        greedy = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False, pad_token_id=2)[0, len(ids) :]
    scale = expected.std()
    tolerance = 5e-3 if family.startswith("gemma") else 1e-4  # llama.cpp looks GELU up in a float16 table
    np.testing.assert_allclose(exact.logits(ids), expected, atol=tolerance * scale, rtol=0)
    half = LlamaCppEngine(tmp_path / "half.gguf")
    np.testing.assert_allclose(half.logits(ids), expected, atol=2e-2 * scale, rtol=0)
    [[answer]] = exact.generate([ids], 1, Sampling(temperature=0, max_new_tokens=8))
    assert list(answer.token_ids) == [token for token in greedy.tolist() if token not in exact.tokenizer.stop_ids]


def test_half_is_half_as_large_and_bfloat16_reads_back(tiny_model_dir: Path, tmp_path: Path) -> None:
    import gguf

    for precision in ("F32", "F16", "BF16"):
        export_gguf(tiny_model_dir, tmp_path / precision, precision)
    matrices = {
        precision: {t.name: t for t in gguf.GGUFReader(tmp_path / precision).tensors if len(t.shape) == 2}
        for precision in ("F32", "F16", "BF16")
    }
    name = "blk.0.attn_v.weight"
    assert matrices["F32"][name].n_bytes == 2 * matrices["F16"][name].n_bytes == 2 * matrices["BF16"][name].n_bytes
    kept = (matrices["BF16"][name].data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    full = matrices["F32"][name].data
    np.testing.assert_allclose(kept.reshape(full.shape), full, rtol=2**-8)  # 8 bits of mantissa


def test_permute_moves_halves_to_neighbours() -> None:
    import torch

    from kt_resources.quantizers.families.llama import permute

    rows = torch.tensor([0, 1, 2, 3, 10, 11, 12, 13])  # two heads of four rows
    assert permute(rows, 2).tolist() == [0, 2, 1, 3, 10, 12, 11, 13]


def edited(source: Path, target: Path, **changes: Any) -> Path:
    """A copy of a checkpoint whose config.json says otherwise."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"architectures": ["FalconForCausalLM"]}, "FalconForCausalLM cannot be exported"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rope scaling 'dynamic'"),
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 64}, "window of 64"),
        ({"vocab_size": 900}, "embeddings 900"),
    ],
)
def test_what_llama_cpp_has_no_place_for_is_refused(
    changes: dict[str, Any], told: str, tiny_model_dir: Path, tmp_path: Path
) -> None:
    folder = edited(tiny_model_dir, tmp_path / "model", **changes)
    with pytest.raises(QuantizeError, match=told):
        export_gguf(folder, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_a_weight_that_float16_cannot_hold_is_named(value: float, tiny_model_dir: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = edited(tiny_model_dir, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QuantizeError, match=r"blk.1.ffn_up.weight"):
        export_gguf(folder, tmp_path / "model.gguf")
