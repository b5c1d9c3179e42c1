"""Shapes from published figures, configs, checkpoints' headers and a GGUF's."""

import json
from pathlib import Path
from typing import Any

import pytest

from kt_resources.compute.memory.shape import (
    published,
    published_names,
    shape_of_config,
    shape_of_folder,
    ties_embeddings,
)
from kt_resources.errors import RecipeError

BILLIONS = {
    "smollm2-135m": 0.1345,
    "qwen2.5-7b": 7.616,
    "llama-2-7b": 6.738,
    "llama-3.1-8b": 8.030,
    "llama-2-13b": 13.016,
    "llama-2-70b": 68.977,
    "llama-3.1-70b": 70.554,
}
"""Parameters as the model cards say them."""


@pytest.mark.parametrize("name", BILLIONS)
def test_a_published_shape_has_the_parameters_of_its_model_card(name: str) -> None:
    assert published(name).parameters / 1e9 == pytest.approx(BILLIONS[name], rel=5e-4)


def test_parameters_are_counted_layer_by_layer() -> None:
    """SmolLM2-135M: 49152·576 + 30·(2·576·576 + 2·576·192 + 3·576·1536) + 61·576 = 134,515,008."""
    shape = published("smollm2-135m")
    assert shape.embedding_parameters == 49152 * 576
    assert shape.linear_parameters == 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536)
    assert shape.parameters == 134_515_008


def test_every_published_shape_parses() -> None:
    assert all(published(name).parameters > 1e8 for name in published_names())


SIZES = {"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 10}


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"no shape is called 'llama-9'[\s\S]*llama-2-7b"):
        published("llama-9")


def test_a_checkpoint_is_counted_from_its_files(tiny_model_dir: Path) -> None:
    """The tiny model has float32 weights, tied: 158,336 numbers of four bytes."""
    shape = shape_of_folder(tiny_model_dir)
    assert (shape.layers, shape.hidden, shape.intermediate, shape.heads, shape.kv_heads) == (2, 64, 192, 4, 2)
    assert shape.parameters == 158_336 and shape.stored_bytes == 4.0 and shape.tied
    assert shape.model_copy(update={"counted": None}).parameters == pytest.approx(158_336, rel=0.15)


def test_the_shape_of_the_random_base_is_the_one_that_is_made(tiny_model_dir: Path) -> None:
    from kt_assets.plan.base_shape import TINY

    made = shape_of_folder(tiny_model_dir)
    assert TINY.model_dump(exclude={"name", "counted"}) == made.model_dump(exclude={"name", "counted"})


def test_a_config_without_a_size_is_refused_by_the_name_of_the_size(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 9}))
    with pytest.raises(RecipeError, match="no num_hidden_layers"):
        shape_of_folder(tmp_path)


def test_the_text_part_of_a_multimodal_config_counts() -> None:
    text = SIZES | {"tie_word_embeddings": False}
    shape = shape_of_config({"vision_config": {"hidden_size": 99}, "text_config": text})
    assert (shape.hidden, shape.kv_heads, shape.head_dim, shape.tied) == (8, 2, 4, False)


@pytest.mark.parametrize(
    ("config", "tied"),
    [
        ({"model_type": "gemma"}, True),
        ({"model_type": "gpt_neox"}, False),
        ({"model_type": "gemma", "tie_word_embeddings": False}, False),
        ({"model_type": "gemma3", "text_config": SIZES | {"tie_word_embeddings": False}}, False),
        ({"model_type": "a family that transformers has not"}, False),
    ],
)
def test_embeddings_are_tied_as_the_config_or_its_family_says(config: dict[str, Any], tied: bool) -> None:
    assert ties_embeddings(config) == tied
    assert shape_of_config(SIZES | config).tied == tied
