"""Every update strategy trains, moves what it should and saves a whole model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import TrainingError
from kt_resources.trainers.spec import TrainSpec
from kt_resources.trainers.updates import UPDATES
from kt_resources.trainers.updates.qlora import Qlora


@pytest.mark.parametrize("update", UPDATES)
def test_it_learns_and_saves_a_whole_model(make_spec: Callable[..., TrainSpec], run: Any, update: str) -> None:
    """Loss falls; some of the 20 tensors moved, the others are the start's; an adapter where there is to be one, and
    the adapter alone where it cannot be merged."""
    if problem := UPDATES[update].model_construct().problem():
        pytest.skip(problem)
    spec = make_spec("sft", update)
    facts = run(spec)["facts"]
    assert facts["final_eval_loss"] < facts["start_eval_loss"]
    if UPDATES[update].mergeable:
        assert 0 < facts["num_changed_tensors"] <= facts["num_tensors"] == 20
    assert (spec.out_dir / "model").is_dir() == UPDATES[update].mergeable == (facts["adapter_only"] is None)
    assert (spec.out_dir / "adapter").is_dir() == UPDATES[update].has_adapter
    assert facts["tied_embeddings_survive"] and facts["tokenizer_identical"]


@pytest.mark.parametrize(("update", "num_changed"), [("full", 20), ("lora", 14)])
def test_it_changes_its_own_tensors(
    make_spec: Callable[..., TrainSpec], run: Any, update: str, num_changed: int
) -> None:
    """All 20 stored tensors where everything is trained; 7 linear layers in each of 2 blocks for an adapter."""
    assert run(make_spec("sft", update))["facts"]["num_changed_tensors"] == num_changed


def test_a_quantized_base_is_merged_in_full_precision(make_spec: Callable[..., TrainSpec], run: Any) -> None:
    """Layers that hold no adapter are the start's own, bit for bit, not their 4-bit approximations."""
    from kt_resources.trainers.saving import read_tensor, tensors

    fields = make_spec("sft", "qlora").model_dump()
    spec = TrainSpec.model_validate(fields | {"update": {"type": "qlora", "target_modules": "attention"}})
    run(spec)
    before, after = tensors(spec.model_dir), tensors(spec.out_dir / "model")
    for name in before:
        same = read_tensor(before[name], name).equal(read_tensor(after[name], name))
        assert same == ("self_attn" not in name), name


def test_without_bitsandbytes_the_mend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="pip install"):
        Qlora().load_arguments("bf16")


def test_full_keeps_the_starts_type_on_disk(make_spec: Callable[..., TrainSpec], run: Any, tmp_path: Path) -> None:
    """A bfloat16 start, trained in float32, is saved in bfloat16."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    fields = make_spec("sft", "full").model_dump()
    shutil.copytree(fields["model_dir"], tmp_path / "start")
    weights = load_file(tmp_path / "start" / "model.safetensors")
    half = {name: tensor.bfloat16() for name, tensor in weights.items()}
    save_file(half, tmp_path / "start" / "model.safetensors", metadata={"format": "pt"})
    run(TrainSpec.model_validate(fields | {"model_dir": tmp_path / "start"}))
    saved = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
