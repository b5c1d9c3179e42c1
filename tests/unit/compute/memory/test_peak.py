"""Each part of the peak, with its arithmetic."""

from typing import Any

import pytest

from kt_resources.compute.memory.held import (
    cache_bytes,
    cast_bytes,
    gradient_bytes,
    kernel_bytes,
    optimizer_bytes,
    other_models_bytes,
    weight_bytes,
)
from kt_resources.compute.memory.parts import Lengths, ObjectiveMemory, Rollouts, UpdateMemory
from kt_resources.compute.memory.peak import host_gb, predict
from kt_resources.compute.memory.shape import published
from kt_resources.compute.memory.training import Training

SHAPE = published("llama-3.1-8b")
FULL = UpdateMemory(trained=SHAPE.parameters, all_weights=True, head=True)
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA = UpdateMemory(trained=41_943_040, adapted=LINEAR, rank=16)
NF4 = LORA.model_copy(update={"frozen_bits": 4.0})


def training(**changes: Any) -> Training:
    lengths = Lengths(longest=512, mean=256, scored=128, mean_scored=64, num_rows=100)
    fields: dict[str, Any] = {"shape": SHAPE, "update": LORA, "objective": ObjectiveMemory(), "lengths": lengths}
    return Training(**fields | {"micro_batch": 2} | changes)


def test_all_weights_in_bf16_take_sixteen_bytes_a_parameter_and_two_more_in_a_step() -> None:
    """2 weights + 2 gradients + 4 + 4 moments + 4 float32 copy = 16 bytes; in the step gradients are in float32."""
    full = training(update=FULL, micro_batch=1, checkpointing=True)
    parts = weight_bytes(full) + gradient_bytes(full) + optimizer_bytes(full)
    assert parts / SHAPE.parameters == pytest.approx(2 + 2 + 12)
    stepping = predict(full).phases["train"]
    assert stepping["gradients"] / SHAPE.parameters == pytest.approx(4) and "activations" not in stepping


def test_all_weights_in_float32_take_sixteen_bytes_a_parameter() -> None:
    """4 weights + 4 gradients + 8 moments: the survey's 16 bytes."""
    full = training(update=FULL, precision="fp32")
    parts = weight_bytes(full) + gradient_bytes(full) + optimizer_bytes(full)
    assert parts / SHAPE.parameters == pytest.approx(16)


def test_four_bits_hold_the_linear_layers_alone() -> None:
    """Embeddings and head stay in bf16: 2 · 2 · 128256 · 4096 bytes of them, and half a byte a linear weight."""
    adapter = 2 * LORA.trained
    norms = 2 * (2 * 32 + 1) * 4096
    expected = SHAPE.linear_parameters / 2 + 2 * (2 * 128256 * 4096) + norms + adapter
    assert weight_bytes(training(update=NF4)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "copies"),
    [({"kind": "cpu"}, 1), ({"kind": "cpu", "precision": "fp32"}, 0), ({"kind": "cuda"}, 0)],
)
def test_rewritten_weights_stand_beside_the_mapped_file(changes: dict[str, Any], copies: int) -> None:
    """Stored in bf16: on a CPU in bf16 the file stays mapped; in fp32 and on a GPU its weights are copied anyway."""
    plain, rewritten = training(**changes), training(**changes, update=LORA.model_copy(update={"rewritten": True}))
    assert weight_bytes(rewritten) - weight_bytes(plain) == copies * 2 * SHAPE.linear_parameters


def test_sharding_divides_what_belongs_to_parameters() -> None:
    one, eight = (training(update=FULL, precision="fp32", shards=shards) for shards in (1, 8))
    for part in (weight_bytes, gradient_bytes, optimizer_bytes):
        assert part(eight) == pytest.approx(part(one) / 8)


@pytest.mark.parametrize(
    ("update", "expected"),
    [(FULL, 4 * SHAPE.parameters), (LORA, 4 * (SHAPE.parameters + LORA.trained))],
    ids=["full", "lora"],
)
def test_sharded_weights_are_held_in_float32_whatever_is_computed_in(update: UpdateMemory, expected: float) -> None:
    """FSDP casts by itself: 4 bytes a weight, of the frozen ones too, and no float32 copies beside."""
    sharded = training(update=update, shards=8)
    assert weight_bytes(sharded) == pytest.approx(expected / 8)
    assert optimizer_bytes(sharded) == pytest.approx(8 * update.trained / 8)
    compared = training(update=FULL, shards=8, objective=ObjectiveMemory(companions=1))
    assert other_models_bytes(compared) == pytest.approx(4 * SHAPE.parameters / 8)


def test_all_weights_in_fp16_are_held_in_float32_with_the_copies_that_autocast_makes() -> None:
    """4 weights + 4 gradients + 8 moments, and 2 of the linear layers and the head; frozen ones are held in 2."""
    full, lora = training(update=FULL, precision="fp16"), training(update=LORA, precision="fp16")
    assert (weight_bytes(full) + gradient_bytes(full) + optimizer_bytes(full)) / SHAPE.parameters == pytest.approx(16)
    assert weight_bytes(lora) == pytest.approx(2 * SHAPE.parameters + 4 * LORA.trained)
    assert cast_bytes(full) == 2 * (SHAPE.linear_parameters + 128_256 * 4096) and cast_bytes(lora) == 0
    assert cast_bytes(training(update=FULL)) == 0


@pytest.mark.parametrize(("update", "models"), [(FULL, 1), (LORA, 0)], ids=["full", "lora"])
def test_a_reference_is_a_second_model_only_where_all_weights_are_trained(update: UpdateMemory, models: int) -> None:
    compared = training(update=update, objective=ObjectiveMemory(sequences=2, reference="start"))
    assert other_models_bytes(compared) == models * SHAPE.parameters * 2


def test_a_teacher_is_a_whole_model() -> None:
    assert other_models_bytes(training(objective=ObjectiveMemory(companions=1))) == SHAPE.parameters * 2


def test_the_cache_of_a_token_is_keys_and_values_of_all_layers() -> None:
    """2 · 32 layers · 8 heads · 128 · 2 bytes = 131,072 bytes a token; and one layer again while it grows."""
    assert cache_bytes(training(), sequences=1, tokens=1) == pytest.approx(131_072 * (1 + 1 / 32))


def test_the_peak_is_the_largest_phase_and_its_parts_add_up() -> None:
    memory = predict(training())
    assert memory.phase == "train"
    assert memory.peak_gb == max(memory.peaks_gb.values()) == pytest.approx(sum(memory.parts_gb.values()))


def test_gradients_stand_beside_activations_only_where_passes_accumulate() -> None:
    """After a step gradients are cleared, and made again as the activations go."""
    long = Lengths(longest=8192, mean=256, scored=128, mean_scored=64)
    alone, accumulated = (
        predict(training(update=FULL, micro_batch=8, lengths=long, accumulates=on)).phases["train"]
        for on in (False, True)
    )
    assert alone["activations"] == accumulated["activations"] > alone["optimizer"]
    assert alone["gradients"] == 0 and accumulated["gradients"] == 2 * SHAPE.parameters


def test_rows_of_twice_the_length_keep_twice_the_activations() -> None:
    """Without padding no mask grows with the square of the length."""
    longer = Lengths(longest=1024, mean=256, scored=128, mean_scored=64)
    parts = [predict(training(padded=False, **further)).phases["train"] for further in ({}, {"lengths": longer})]
    assert parts[1]["activations"] == pytest.approx(2 * parts[0]["activations"], rel=0.01)


def test_checkpointing_keeps_one_block_and_the_inputs_of_the_others() -> None:
    plain, checkpointed = (predict(training(checkpointing=on)).phases["train"]["activations"] for on in (False, True))
    assert checkpointed < plain / 8


def test_pairs_hold_two_sequences_a_row() -> None:
    one, two = (predict(training(objective=ObjectiveMemory(sequences=n))).phases["train"] for n in (1, 2))
    assert two["activations"] == pytest.approx(2 * one["activations"])


def test_whole_logits_cost_every_position() -> None:
    """2 rows × 512 positions × 128,256 columns, bf16 twice and float32 copies, against 256 labelled positions."""
    labelled, whole = (
        predict(training(objective=ObjectiveMemory(logits=kind))).phases["train"]["logits"]
        for kind in ("labelled", "all")
    )
    assert whole >= 2 * 512 * 128_256 * 4
    assert labelled < whole / 20


def test_long_completions_make_generation_the_peak() -> None:
    """64 sequences of 8,192 tokens: 64 · 8,704 · 131,072 bytes of cache, far more than a step of one."""
    online = ObjectiveMemory(rollouts=Rollouts(completion=8192))
    held = predict(training(objective=online, micro_batch=64, checkpointing=True)).phases["evaluate"]
    assert held["rollout_cache"] == pytest.approx(64 * (512 + 8192) * 131_072 * (1 + 1 / 32))


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"kind": "cpu"}, (2, 64 + 4 * 32)),
        ({"kind": "cpu", "generated": 16}, (4, 64 + 2 * 32)),
        ({"kind": "cuda"}, (8, 64 + 32)),
        ({"kind": "cpu", "lengths": Lengths(longest=400, mean=400, scored=1, mean_scored=1)}, (8, 432)),
    ],
    ids=["one step's groups", "shuffled over two passes", "a GPU", "too long together"],
)
def test_completions_share_their_prompt_on_a_cpu(changes: dict[str, Any], rows: tuple[int, int]) -> None:
    """8 completions of 32 tokens, 4 a prompt of 64: two rows of 64 + 4 · 32 instead of eight of 64 + 32."""
    lengths = Lengths(longest=64, mean=64, scored=1, mean_scored=1)
    online = ObjectiveMemory(rollouts=Rollouts(completion=32, group=4))
    asked = training(**{"objective": online, "micro_batch": 8, "lengths": lengths} | changes)
    assert asked.rows_of_pass(asked.lengths.longest) == rows


@pytest.mark.parametrize(
    ("changes", "rows"),
    [({"kind": "cpu"}, (4, 200 + 50)), ({"kind": "cuda"}, (8, 200))],
    ids=["a CPU", "a GPU"],
)
def test_a_pairs_answers_share_their_prompt_on_a_cpu(changes: dict[str, Any], rows: tuple[int, int]) -> None:
    """4 pairs of 150 and 50 tokens: four rows of 150 + 2 · 50 instead of eight of 200."""
    lengths = Lengths(longest=200, mean=200, scored=50, mean_scored=50)
    pairs = ObjectiveMemory(sequences=2, reference="start", shares_prompts=True)
    asked = training(**{"objective": pairs, "micro_batch": 4, "lengths": lengths} | changes)
    assert asked.rows_of_pass(200, 50) == rows
    assert asked.model_copy(update={"objective": ObjectiveMemory(sequences=2)}).rows_of_pass(200, 50) == (8, 200)


def test_on_a_gpu_saving_takes_the_machines_memory() -> None:
    """A float32 model and the file of stored numbers: 6 bytes a parameter of an 8B model, beside the device."""
    memory = predict(training())
    assert "save" not in memory.phases and "save" in predict(training(kind="cpu")).phases
    assert host_gb(training()) == pytest.approx(6 * SHAPE.parameters / 1e9, rel=0.05)


@pytest.mark.parametrize(("lengths", "kernels"), [(2, 60), (100, 1024)], ids=["two lengths", "the cache is full"])
def test_bf16_on_a_cpu_keeps_the_products_that_it_compiled(lengths: int, kernels: int) -> None:
    """30 shapes a batch length, 1.2 MB each, 1024 at most."""
    assert kernel_bytes(training(kind="cpu", batch_lengths=lengths)) == pytest.approx(kernels * 1.2e6)


@pytest.mark.parametrize("changes", [{"kind": "cpu", "precision": "fp32"}, {"kind": "cuda"}])
def test_nothing_is_compiled_in_float32_or_on_a_gpu(changes: dict[str, Any]) -> None:
    assert kernel_bytes(training(batch_lengths=100, **changes)) == 0
