"""Names in a checkpoint: renamed and fused weights go back to what the start stores, or the start is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kt_resources.errors import TrainingError
from kt_resources.trainers.kinds import load_model
from kt_resources.trainers.saving import tensors
from kt_resources.trainers.stored import as_stored, require_names, stored_weight, tied_names


def _edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "mixtral", "qwen3_moe"])
def test_weights_in_memory_are_the_stored_ones(make_family: Any, family: str) -> None:
    """Name by name and bit for bit, though GPT-NeoX's head is renamed and a mixture's experts are fused."""
    folder = make_family(family)
    stored, model = load_file(folder / "model.safetensors"), load_model(folder)
    found = as_stored(model, model.state_dict())
    assert found.keys() == stored.keys()
    assert all(found[name].equal(tensor) for name, tensor in stored.items())
    require_names(model, tensors(folder).keys(), str(folder))


def test_the_heads_name_is_the_checkpoints(make_family: Any) -> None:
    model = load_model(make_family("gpt_neox"))
    assert stored_weight(model, model.get_output_embeddings()) == "embed_out.weight"
    assert stored_weight(model, model.get_input_embeddings()) == "gpt_neox.embed_in.weight"
    assert tied_names(model) == {}


def test_tied_names_go_both_ways(tiny_model_dir: Path) -> None:
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    assert tied_names(load_model(tiny_model_dir)) == {head: embedding, embedding: head}


def test_what_the_model_does_not_read_is_no_obstacle(make_family: Any) -> None:
    """Published GPT-NeoX checkpoints store masks as buffers."""
    folder = make_family("gpt_neox")
    _edit(folder, lambda weights: weights.update({"gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9)}))
    require_names(load_model(folder), tensors(folder).keys(), str(folder))


def test_a_name_that_cannot_be_given_back_is_refused(make_family: Any) -> None:
    """A body stored without its prefix is loaded by transformers, but would be saved with it."""
    folder = make_family("llama")
    _edit(folder, lambda weights: weights.update({"norm.weight": weights.pop("model.norm.weight")}))
    with pytest.raises(
        TrainingError, match=r"(?s)stores norm.weight, where .* save model.norm.weight.*save_pretrained"
    ):
        require_names(load_model(folder), tensors(folder).keys(), str(folder))
