"""Seconds from counted work and given rates."""

import math
from typing import Any

import pytest

from kt_resources.compute.catalog import catalog
from kt_resources.compute.memory.held import activation_bytes
from kt_resources.compute.memory.parts import Lengths, ObjectiveMemory, Rollouts, UpdateMemory
from kt_resources.compute.memory.shape import published
from kt_resources.compute.memory.training import Training
from kt_resources.compute.speed.calibration import MFU, Speed, stated_speed
from kt_resources.compute.speed.flops import Run, Work, forward, learning, run_work
from kt_resources.compute.speed.predict import answer_seconds, predict_seconds, run_of, seconds_of
from kt_resources.trainers.spec import Optimization

SHAPE = published("llama-3.1-8b")
LENGTHS = Lengths(longest=512, mean=256, scored=128, mean_scored=64, num_rows=1000, num_validation_rows=100)
FULL = UpdateMemory(trained=SHAPE.parameters, all_weights=True, head=True)
FROZEN = UpdateMemory(trained=0)
SPEED = Speed(
    block_flops=1e12,
    weights_flops=1e12,
    head_flops=1e12,
    adapted_per_s=1e9,
    normed_per_s=1e9,
    dequantized_per_s=1e9,
    stepped_per_s=1e9,
    touched_per_s=1e9,
    written_per_s=1e9,
    decode_layer_s=0.001,
    decode_adapter_s=0.002,
    read_layer_s=1e-6,
    answer_layer_s=2e-6,
    answer_s=1e-4,
    imports_s=10,
    bytes_per_s=1e9,
    source="given",
)


def training(**changes: Any) -> Training:
    fields: dict[str, Any] = {"shape": SHAPE, "update": FROZEN, "objective": ObjectiveMemory(), "lengths": LENGTHS}
    return Training(**fields | {"micro_batch": 2} | changes)


def test_a_forward_pass_is_two_operations_a_weight_and_the_attention() -> None:
    """Of 10 tokens in sequences of 256: 2 · 6.98e9 weights, and 4 · 32 · 4096 · 256 / 2 for causal attention."""
    work = forward(training(), tokens=10, length=256, scored=4)
    assert work.block == pytest.approx(10 * (2 * SHAPE.linear_parameters + 4 * 32 * 4096 * 256 / 2))
    assert work.head == 2 * 4096 * 128_256 * 4


@pytest.mark.parametrize(("every", "expected"), [(4, {"train": 30.0, "load": 0.0}), (0, {"train": 0.0, "load": 10.0})])
def test_decompositions_take_their_time_each_time_or_once_as_the_model_is_loaded(
    every: int, expected: dict[str, float]
) -> None:
    """6e11 operations at 6e10 a second are 10 s; of 10 steps the first, the fifth and the ninth choose anew."""
    run = run_of(training(), Optimization(max_steps=10), num_rows=1000)
    plain = predict_seconds(training(update=FULL), run, SPEED)
    decomposed = FULL.model_copy(update={"decomposed": 6e11, "decomposed_every": every})
    found = predict_seconds(training(update=decomposed), run, SPEED)
    assert {phase: found[phase] - plain[phase] for phase in expected} == pytest.approx(expected, abs=1e-6)


def test_all_weights_cost_three_passes_and_an_adapter_two() -> None:
    """Kaplan's 6 operations a weight and token, against 4 where frozen weights have no gradient."""
    ahead = forward(training(), 10, 256, 0).block
    assert learning(training(update=FULL), 10, 256, 0).weights == pytest.approx(ahead)
    assert learning(training(update=FULL), 10, 256, 0).block == pytest.approx(2 * ahead)
    assert learning(training(), 10, 256, 0).weights == 0


@pytest.mark.parametrize(
    ("changes", "passes"),
    [({}, 2), ({"checkpointing": True}, 3), ({"objective": ObjectiveMemory(reference="start")}, 3)],
    ids=["plain", "checkpointed", "reference"],
)
def test_passes_through_the_blocks(changes: dict[str, Any], passes: int) -> None:
    ahead = forward(training(), 10, 256, 0).block
    assert learning(training(**changes), 10, 256, 0).block == pytest.approx(passes * ahead)


def test_seconds_are_work_over_rates() -> None:
    """1e12 + 2e12 + 3e12 operations at 1e12 a second, 1e9 weights whole, 5 steps of 32 blocks of a millisecond."""
    work = Work(block=1e12, weights=2e12, head=3e12, dequantized=1e9, decoded=5)
    assert seconds_of(work, SPEED, layers=32) == pytest.approx(1 + 2 + 3 + 1 + 5 * 32 * 0.001)


@pytest.mark.parametrize("kind", ["adapted", "normed", "stepped", "touched", "written"])
def test_what_memory_and_disk_bound_takes_its_seconds_too(kind: str) -> None:
    assert seconds_of(Work(**{kind: 3e9}), SPEED, layers=32) == pytest.approx(3)


def test_an_adapter_reads_and_writes_its_layers_numbers_three_times_a_pass() -> None:
    """32 layers of q_proj, 4096 in and 4096 out, 10 tokens: forwards, and backwards for weights and input."""
    lora = UpdateMemory(trained=1, adapted=("q_proj",), rank=16)
    assert forward(training(update=lora), 10, 256, 0).adapted == 10 * 32 * 8192
    assert learning(training(update=lora), 10, 256, 0).adapted == 3 * 10 * 32 * 8192


def test_dora_measures_its_weights_once_a_pass_and_once_more_where_it_is_computed_again() -> None:
    dora = UpdateMemory(trained=1, adapted=("q_proj",), rank=16, magnitude=True)
    assert learning(training(update=dora), 10, 256, 0).normed == 32 * 4096 * 4096
    again = learning(training(update=dora, checkpointing=True), 10, 256, 0).normed
    assert again == pytest.approx(1.57 * 32 * 4096 * 4096)


def test_training_all_weights_writes_them_with_the_optimizers_state() -> None:
    """Bfloat16: 2 + 12 bytes a parameter in each of 4 checkpoints, 2 more after each of 5 evaluations but the first."""
    work = run_work(training(update=FULL), Run(rows=100, steps=10, passes=10, evaluations=5, checkpoints=4))["train"]
    assert work.written / SHAPE.parameters == pytest.approx(4 * 14 + 4 * 2)
    gradients_and_state = work.touched - 10 * activation_bytes(training(update=FULL), 10 * 256)
    assert gradients_and_state / SHAPE.parameters == pytest.approx(10 * (2 + 4) + 12)


def test_an_adapter_slows_generation_where_it_is_not_folded_in() -> None:
    """10 steps of 64 tokens; on a CPU 14 bytes a weight are asked for in each instead."""
    lora = UpdateMemory(trained=1, adapted=("q_proj",), rank=16, folds=True)
    online = ObjectiveMemory(rollouts=Rollouts(completion=64))
    on_gpu, on_cpu = (training(update=lora, objective=online, kind=kind) for kind in ("cuda", "cpu"))
    ten, twenty = (Run(rows=160, steps=steps, passes=20, evaluations=1) for steps in (10, 20))
    assert [run_work(one, ten)["train"].decoded_adapted for one in (on_gpu, on_cpu)] == [640, 0]
    folded = run_work(on_cpu, twenty)["train"].touched - run_work(on_cpu, ten)["train"].touched
    assert folded == pytest.approx(10 * (3 * 4 + 2) * SHAPE.linear_parameters)
    answers = run_work(on_cpu, ten)["evaluate"]
    assert answers.decoded_adapted == answers.decoded > 0
    dora = training(update=lora.model_copy(update={"magnitude": True}), objective=online, kind="cpu")
    answers = run_work(dora, ten)["evaluate"]
    assert answers.normed == pytest.approx(0.57 * answers.decoded * 32 * 4096 * 4096)


def test_steps_are_counted_as_transformers_counts_them() -> None:
    """1000 rows in batches of 16 are 63; two of them a step, 32; two epochs, 64 steps over 2000 rows."""
    run = run_of(training(), Optimization(micro_batch_size=16, gradient_accumulation_steps=2, num_epochs=2), 1000)
    assert (run.steps, run.passes, run.rows, run.evaluations, run.checkpoints) == (64, 128, 2000, 6, None)


def test_checkpoints_are_as_many_as_asked_or_as_are_earned() -> None:
    """14 bytes of 8 billion parameters at 1 GB/s take 112 s: after half a minute, then every 2249 s, and at the end."""
    asked = run_of(training(), Optimization(max_steps=64, checkpoint_steps=6), 1000)
    assert asked.checkpoints == 11
    whole = training(update=FULL)
    write_s = 14 * SHAPE.parameters / 1e9
    base = {"rows": 100, "passes": 10, "evaluations": 1}
    for steps in (10, 10_000):
        runs = [Run(steps=steps, checkpoints=number, **base) for number in (1, None)]
        one, more = (predict_seconds(whole, run, SPEED) for run in runs)
        trained_s = one["train"] + one["evaluate"] - write_s
        expected = math.ceil((trained_s - 30) / (write_s / 0.05))
        assert more["train"] - one["train"] == pytest.approx(expected * write_s)
    assert expected > 10


def test_max_steps_wins_over_epochs() -> None:
    run = run_of(training(), Optimization(micro_batch_size=8, max_steps=3, num_epochs=9), 1000)
    assert (run.steps, run.rows) == (3, 24)


def test_an_online_epoch_asks_every_prompt_as_often_as_its_group() -> None:
    """1000 prompts × 8 completions in steps of 16: 500."""
    online = training(objective=ObjectiveMemory(rollouts=Rollouts(completion=64, group=8)))
    assert run_of(online, Optimization(micro_batch_size=16), 1000).steps == 500
    assert run_of(online, Optimization(micro_batch_size=16, max_steps=3), 1).rows == 48


def test_completions_learned_from_twice_are_drawn_once() -> None:
    """Twice the steps, the drawing of one, and a pass for what the policy that drew said of them."""
    work = {}
    for iterations in (1, 2):
        rollouts = Rollouts(completion=64, group=8, iterations=iterations)
        online = training(objective=ObjectiveMemory(rollouts=rollouts))
        run = run_of(online, Optimization(micro_batch_size=16), 1000)
        work[run.steps] = run_work(online, run)["train"]
    once, twice = work[500], work[1000]
    assert twice.decoded == once.decoded
    assert 2 * once.block > twice.block > once.block


def test_generation_is_in_the_time_of_an_online_objective() -> None:
    """10 steps of 64 tokens through 32 blocks of a millisecond: 20.5 s beside the learning."""
    online = training(objective=ObjectiveMemory(rollouts=Rollouts(completion=64)))
    run = Run(rows=160, steps=10, passes=10, evaluations=0)
    with_decoding = predict_seconds(online, run, SPEED)["train"]
    without = predict_seconds(online, run, SPEED.model_copy(update={"decode_layer_s": 0.0}))["train"]
    assert with_decoding - without == pytest.approx(10 * 64 * 32 * 0.001)


def test_completions_of_half_the_length_take_as_many_steps_and_half_the_products() -> None:
    """A step goes on to its longest completion; 160 completions of 32 tokens instead of 64, drawn and learned from."""
    lengths = LENGTHS.model_copy(update={"mean_scored": 0.0})
    online = training(objective=ObjectiveMemory(rollouts=Rollouts(completion=64)), lengths=lengths)
    known = online.model_copy(update={"lengths": lengths.model_copy(update={"mean_scored": 32.0})})
    run = Run(rows=160, steps=10, passes=10, evaluations=0)
    whole, half = (run_work(one, run)["train"] for one in (online, known))
    assert half.decoded == whole.decoded == 10 * 64
    drawn = 2.0 * 160 * 32 * (SHAPE.linear_parameters + SHAPE.hidden * SHAPE.vocab)
    learned = (
        learning(online, 160 * (256 + 64), 256 + 64, 160 * 64),
        learning(online, 160 * (256 + 32), 256 + 32, 160 * 32),
    )
    assert whole.block - half.block == pytest.approx(drawn + learned[0].block - learned[1].block)


def test_answers_take_the_blocks_the_head_and_the_loop() -> None:
    """Two models of 16.06 GB read; 1,000 tokens read by 32 blocks; 100 written, the head worth 2.4 more."""
    told = answer_seconds(2, 1000, 100, SHAPE, SPEED)
    head = 4096 * 128_256 / (SHAPE.linear_parameters / 32)
    assert told == {
        "imports": 10,
        "load": pytest.approx(2 * 16.06, rel=1e-3),
        "read": pytest.approx(1000 * 32e-6),
        "write": pytest.approx(100 * ((32 + head) * 2e-6 + 1e-4)),
    }
    assert head == pytest.approx(2.41, abs=0.01)


def test_a_named_device_answers_as_its_memory_lets_it() -> None:
    """An A100 reads at its operations; 32 answers at once share a step's 436 MB of weights a block and its launch."""
    device = catalog()["a100-80gb"]
    speed, layer = stated_speed(device, SHAPE, "bf16"), SHAPE.linear_parameters / 32
    assert speed.read_layer_s == pytest.approx(2 * layer / (device.tflops * 1e12 * MFU))
    step = 2 * layer / (device.bandwidth_gbs * 1e9 * 0.6) + 5e-5
    assert speed.answer_layer_s == pytest.approx(max(step / 32, speed.read_layer_s))


def test_a_named_device_is_its_data_sheet_times_the_stated_share() -> None:
    speed = stated_speed(catalog()["a100-80gb"], SHAPE, "bf16")
    assert speed.block_flops == pytest.approx(312e12 * MFU)
    assert "312" in speed.source and "MFU" in speed.source
