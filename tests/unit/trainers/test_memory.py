"""Every strategy and objective in the words of the memory model; trained parameters against PEFT's own count."""

from pathlib import Path
from typing import Any

import pytest

from kt_resources.compute.devices import fake_devices
from kt_resources.compute.memory.parts import Lengths
from kt_resources.compute.memory.shape import published, shape_of_folder
from kt_resources.compute.memory.training import Training
from kt_resources.compute.needs import Needs
from kt_resources.trainers.memory import objective_memory, training_of, update_memory
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import UPDATES

SHAPE = published("smollm2-135m")


@pytest.mark.parametrize("name", UPDATES)
def test_every_strategy_says_what_it_trains(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:1x24")  # LoftQ asks for a GPU
    told = update_memory(UPDATES[name].model_construct(type=name), SHAPE)  # some are refused without a GPU
    assert 0 < told.trained <= SHAPE.parameters
    assert told.all_weights == (not UPDATES[name].has_adapter)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_says_what_it_holds(name: str) -> None:
    told = objective_memory(OBJECTIVES[name]())
    assert told.sequences == (2 if OBJECTIVES[name].rows == "preference_pairs" else 1)
    assert (told.rollouts is not None) == (OBJECTIVES[name].rows == "prompts")


def test_lora_trains_r_times_inputs_and_outputs_of_each_layer() -> None:
    """16 · 30 · ((576+576)·2 + (576+192)·2 + (576+1536)·3) = 4,884,480."""
    expected = 16 * 30 * ((576 + 576) * 2 + (576 + 192) * 2 + (576 + 1536) * 3)
    assert update_memory(UPDATES["lora"](type="lora"), SHAPE).trained == expected == 4_884_480


@pytest.mark.parametrize(
    ("name", "options"),
    [("lora", {}), ("lora", {"target_modules": "attention", "r": 4}), ("dora", {}), ("rslora", {"r": 8})],
)
def test_trained_parameters_are_what_peft_trains(name: str, options: dict[str, Any], tiny_model_dir: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers.memory import INTENTS

    update: Any = UPDATES[name](type=name, **options)
    targets = list(INTENTS[update.target_modules])
    config = LoraConfig(r=update.r, target_modules=targets, use_dora=name == "dora")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_dir), config)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert update_memory(update, shape_of_folder(tiny_model_dir)).trained == trained


@pytest.mark.parametrize(
    ("name", "options", "times", "every"),
    [
        ("galore", {"update_every": 50}, 1, 50),
        ("spectrum", {}, 1, 0),
        ("pissa", {}, 1, 0),
        ("pissa", {"niter": 4}, 0, 0),
        ("lora", {}, 0, 0),
    ],
)
def test_who_decomposes_matrices_says_so(name: str, options: dict[str, Any], times: int, every: int) -> None:
    """30 blocks of two of 576 × 576, two of 192 × 576 and three of 576 × 1536, 6 m n² + 20 n³ each."""
    block = 2 * 26 * 576**3 + 2 * (6 * 576 * 192**2 + 20 * 192**3) + 3 * (6 * 1536 * 576**2 + 20 * 576**3)
    told = update_memory(UPDATES[name](type=name, **options), SHAPE)
    assert (told.decomposed, told.decomposed_every) == (times * 30 * block, every)


@pytest.mark.parametrize(
    ("name", "vectors"),
    [("vera", 7 * 256 + 2 * 576 + 2 * 192 + 2 * 1536 + 576), ("ia3", 2 * 192 + 1536), ("lora", 0)],
)
def test_trained_vectors_are_as_many_numbers_as_they_keep_of_a_token(name: str, vectors: int) -> None:
    """VeRA: 7 layers' A x of rank 256, and their outputs; (IA)³: keys, values, and what down_proj reads."""
    told = update_memory(UPDATES[name](type=name), SHAPE)
    assert told.vectors == vectors and (not vectors or told.trained == 30 * vectors)


def test_the_residual_of_pissa_is_in_no_file() -> None:
    assert [name for name in UPDATES if update_memory(UPDATES[name].model_construct(type=name), SHAPE).rewritten] == [
        "pissa"
    ]


def test_reference_free_objectives_hold_no_reference() -> None:
    held = {name: objective_memory(OBJECTIVES[name]()).reference for name in ("dpo", "ipo", "orpo", "cpo", "simpo")}
    assert held == {"dpo": "start", "ipo": "start", "orpo": "none", "cpo": "none", "simpo": "none"}


def asked_of(objective: str, device: str = "cuda:1x80", **needs: Any) -> Training:
    lengths = Lengths(longest=64, mean=32, scored=16, mean_scored=8, num_rows=100)
    chosen, (where, *_) = Optimization(micro_batch_size=needs.pop("micro_batch", 1)), fake_devices(device)
    update = UPDATES["lora"](type="lora")
    return training_of(SHAPE, OBJECTIVES[objective](), update, chosen, lengths, where, "fp32", Needs(**needs))


def test_on_a_cpu_sharding_is_plain_data_parallel() -> None:
    """``needs.py`` starts FSDP on GPUs alone; processes of a CPU hold the whole model each."""
    two = {"devices": 2, "sharding": "fsdp"}
    assert (asked_of("sft", **two).shards, asked_of("sft", "cpu:1x64", **two).shards) == (2, 1)


@pytest.mark.parametrize(
    ("objective", "micro_batch", "padded"),
    [("sft", 1, False), ("sft", 2, True), ("dpo", 1, True), ("grpo", 1, True)],
)
def test_a_single_sequence_is_not_padded(objective: str, micro_batch: int, padded: bool) -> None:
    """Of a pair the shorter answer is; completions are padded to the longest of those drawn together."""
    assert asked_of(objective, micro_batch=micro_batch).padded == padded


def test_grpo_holds_a_reference_only_under_a_kl() -> None:
    grpo = OBJECTIVES["grpo"]
    assert objective_memory(grpo()).reference == "none"
    assert objective_memory(grpo(beta=0.1)).reference == "start"
