"""Fixtures that several folders of tests share."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import pytest


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of under 1 M parameters with its tokenizer, as a Hugging Face checkpoint folder."""
    from kt_resources.trainers.tiny import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    make_tiny_model(folder)
    return folder


@pytest.fixture
def make_family(tiny_model_dir: Path, tmp_path: Path) -> Callable[..., Path]:
    """``make_family(model_type, **config)``: a random model of that family with the tiny model's tokenizer."""

    def make(family: str, **changes: object) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        tiny = json.loads((tiny_model_dir / "config.json").read_text())
        ids = {name: tiny[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
        config = AutoConfig.for_model(family, **{**FAMILY_SIZES, **FAMILY_EXPERTS.get(family, {}), **ids, **changes})
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 or name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.05)
        folder = tmp_path / family
        shutil.copytree(tiny_model_dir, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
        generation = (folder / "generation_config.json").read_bytes()
        model.save_pretrained(folder)
        (folder / "generation_config.json").write_bytes(generation)
        return folder

    return make


FAMILY_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
FAMILY_EXPERTS = {
    "mixtral": {"num_local_experts": 4},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
}
