"""Saving: byte for byte but for the weights, in the start's own type, names and files."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from kt_resources.trainers.kinds import load_model
from kt_resources.trainers.saving import (
    copy_all_but_weights,
    merged_weights,
    moved_weights,
    read_tensor,
    save_adapter,
    save_model,
    save_trained_rows,
    tensors,
)


def test_everything_but_weights_is_copied_byte_for_byte(tiny_model_dir: Path, tmp_path: Path) -> None:
    copy_all_but_weights(tiny_model_dir, tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {file.name for file in tiny_model_dir.iterdir()} - {"model.safetensors"}
    assert all((tmp_path / name).read_bytes() == (tiny_model_dir / name).read_bytes() for name in names)


def test_names_types_and_files_are_the_starts(tmp_path: Path) -> None:
    """A start of two files and two types; the tied head stays unstored though the weights hold it."""
    start, model = tmp_path / "start", tmp_path / "model"
    start.mkdir()
    save_file({"a": torch.ones(2, dtype=torch.bfloat16)}, start / "model-00001-of-00002.safetensors")
    save_file({"b": torch.ones(2)}, start / "model-00002-of-00002.safetensors")
    (start / "model.safetensors.index.json").write_text("{}")
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0]), "lm_head.weight": torch.ones(2)}
    save_model(weights, start, model)
    assert {file.name for file in model.iterdir()} == {file.name for file in start.iterdir()}
    assert {name: read_tensor(file, name).dtype for name, file in tensors(model).items()} == {
        "a": torch.bfloat16,
        "b": torch.float32,
    }
    assert load_file(model / "model-00002-of-00002.safetensors")["b"].tolist() == [3.0, 4.0]


def test_full_training_in_bfloat16_adds_only_what_was_learned(tmp_path: Path) -> None:
    """0.1 rounds to 0.10009765625 in bf16. Untrained it stays 0.1; trained to 0.125 it moves by 0.02490234375."""
    start, kept = tmp_path / "start", tmp_path / "kept"
    for folder, values in ((start, torch.tensor([0.1, 0.1])), (kept, torch.tensor([0.1, 0.125]).bfloat16())):
        folder.mkdir()
        save_file({"w": values}, folder / "model.safetensors")
    moved = moved_weights(start, kept, torch.bfloat16)["w"]
    assert torch.allclose(moved, torch.tensor([0.1, 0.1 + 0.125 - 0.10009765625]), atol=1e-8)


def test_merged_weights_have_the_starts_names_and_what_the_model_does_not_read(
    make_family: Any, tmp_path: Path
) -> None:
    """GPT-NeoX's head is called otherwise in memory; a mask that older versions stored stays as it is."""
    from peft import LoraConfig, get_peft_model

    start, mask = make_family("gpt_neox"), "gpt_neox.layers.0.attention.masked_bias"
    weights = load_file(start / "model.safetensors") | {mask: torch.tensor(-1e9)}
    save_file(weights, start / "model.safetensors", metadata={"format": "pt"})
    adapted = get_peft_model(load_model(start), LoraConfig(r=2, target_modules=["dense"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    merged = merged_weights(start, tmp_path / "adapter")
    changed = {name for name, tensor in weights.items() if not merged[name].equal(tensor)}
    assert changed == {f"gpt_neox.layers.{layer}.attention.dense.weight" for layer in (0, 1)}


def test_tied_weights_that_the_start_stores_twice_are_saved_twice(tmp_path: Path) -> None:
    """In memory they are one tensor, which safetensors refuses to write under two names."""
    save_file({"embed": torch.zeros(2), "head": torch.zeros(2)}, tmp_path / "model.safetensors")
    one = torch.ones(2)
    save_model({"embed": one, "head": one}, tmp_path, tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in saved.items()} == {"embed": [1, 1], "head": [1, 1]}


def test_what_full_training_keeps_of_tied_weights_goes_to_each_place(tiny_model_dir: Path, tmp_path: Path) -> None:
    """transformers keeps the embedding alone; a start that stores the head too has it moved along."""
    start, kept, head, embedding = tmp_path / "start", tmp_path / "kept", "lm_head.weight", "model.embed_tokens.weight"
    shutil.copytree(tiny_model_dir, start)
    weights = load_file(start / "model.safetensors")
    save_file(weights | {head: weights[embedding].clone()}, start / "model.safetensors", metadata={"format": "pt"})
    kept.mkdir()
    save_file(weights | {embedding: weights[embedding] + 1}, kept / "model.safetensors")
    moved = moved_weights(start, kept, torch.float32)
    assert moved[head].equal(moved[embedding])
    assert torch.allclose(moved[head], weights[embedding] + 1)


def test_the_adapters_config_has_no_paths_and_a_fixed_order(tmp_path: Path) -> None:
    config = {"target_modules": ["v_proj", "k_proj"], "base_model_name_or_path": "/home/me/start", "r": 4}
    save_adapter({"lora_A": torch.ones(1)}, config, tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert saved == {"target_modules": ["k_proj", "v_proj"], "base_model_name_or_path": None, "r": 4}
    assert load_file(tmp_path / "adapter" / "adapter_model.safetensors")["lora_A"].tolist() == [1.0]


def test_trained_rows_are_a_column_of_ids(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    save_trained_rows(["a", "b"], tmp_path / "trained_rows.parquet")
    assert pq.read_table(tmp_path / "trained_rows.parquet").to_pydict() == {"id": ["a", "b"]}
