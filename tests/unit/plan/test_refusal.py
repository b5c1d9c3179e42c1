"""Too large a training is refused before anything is queued, and before a device is leased; or it runs, on record."""

import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kt_assets.definitions import load_lines
from kt_assets.line import Line, build_line
from kt_assets.plan.base_shape import TINY
from kt_assets.plan.steps import require_line_fits, settings_of, step_place
from kt_resources.bases.fake import FakeBaseLoader
from kt_resources.compute.devices import Device, fake_devices
from kt_resources.compute.memory.parts import Lengths
from kt_resources.compute.memory.shape import published
from kt_resources.contracts.judge import GreatExpectations
from kt_resources.errors import ComputeError
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.store import Store
from kt_resources.trainers.fake import FakeTrainer
from kt_resources.trainers.fitting import USABLE_SHARE, Place, Settings, nearest_that_fits
from kt_resources.trainers.objectives import Sft
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import Qlora

SMALL = "cpu:1x2.6"
"""Room for the libraries and for what bf16 compiles, and for a batch of some hundred rows."""
DATA = ("base_model", "raw_examples", "eval_tasks", "curated_examples", "weekday_mix")


def tiny(micro_batch_size: int) -> Line:
    """The tiny line, its second expert trained on ``micro_batch_size`` rows at once and on rows that need no others."""
    line = next(line for line in load_lines()[0] if line.name == "tiny")
    values = line.recipe.model_dump(mode="json")
    values["training"][3]["optimization"]["micro_batch_size"] = micro_batch_size
    return build_line(Recipe.model_validate(values), line.contracts, line.folder)


def make(line: Line, store: Store, trainer: FakeTrainer, names: tuple[str, ...], **making: bool) -> Any:
    resources: dict[str, Any] = {
        "store": store,
        "contracts": GreatExpectations(),
        "bases": FakeBaseLoader(),
        "trainer": trainer,
    }
    assets = [asset for asset in line.assets if asset.key.path[-1] in names]
    checks = [check for check in line.checks if {key.asset_key.path[-1] for key in check.check_keys} <= set(names)]
    config = {"ops": {"tiny__weekday_model": {"config": {"making": making}}}} if making else None
    return dg.materialize([*assets, *checks], resources=resources, run_config=config, raise_on_error=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The tiny line's data, made once."""
    store = Store(tmp_path_factory.mktemp("store"))
    assert make(tiny(16), store, FakeTrainer(), DATA).success
    return store


def test_the_step_refuses_before_the_trainer_is_asked(store: Store) -> None:
    trainer = FakeTrainer(described_devices=SMALL)
    result = make(tiny(4096), store, trainer, ("weekday_model",))
    assert not result.success and trainer.specs == []
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data.description
    assert "needs" in told and "GB at its peak" in told and "these fit: " in told


def test_the_proposed_settings_are_accepted(store: Store) -> None:
    with pytest.raises(ComputeError) as refused:
        require_line_fits(tiny(4096).stages, ["weekday_model"], store, TINY, fake_devices(SMALL))
    proposed = int(refused.value.mend.split("micro_batch_size: ")[1].split(",")[0])
    assert proposed < 4096
    trainer = FakeTrainer(described_devices=SMALL)
    assert make(tiny(proposed), store, trainer, ("weekday_model",)).success
    assert len(trainer.specs) == 1


def test_an_override_trains_all_the_same_and_the_manifest_says_so(store: Store) -> None:
    trainer = FakeTrainer(facts={"steps": 5}, described_devices=SMALL)
    assert make(tiny(4096), store, trainer, ("weekday_model",), allow_oversize=True).success
    artifact = store.current("tiny/weekday_model")
    assert artifact is not None and artifact.manifest.overrides == ["memory"]


def test_rows_that_are_not_made_yet_are_not_held_against_a_run(tmp_path: Path) -> None:
    """16 rows of up to 256 tokens would fit nowhere in 0.7 GB; of one token they do, and the step looks again."""
    require_line_fits(tiny(16).stages, ["weekday_model"], Store(tmp_path), TINY, fake_devices("cpu:1x1.0"))
    with pytest.raises(ComputeError, match="tiny/weekday_model"):
        require_line_fits(tiny(16).stages, ["weekday_model"], Store(tmp_path), TINY, fake_devices("cpu:1x0.5"))


def small_gpu(longest: int) -> Device:
    """Room for QLoRA on an 8B model with rows of ``longest`` tokens and no longer ones, and not for all weights."""
    frugal = Optimization(micro_batch_size=1, gradient_accumulation_steps=16, gradient_checkpointing=True)
    known = Lengths(longest=longest, mean=longest, scored=longest, mean_scored=longest)
    gpu = fake_devices("cuda:1x80")[0]
    held = Place(published("llama-3.1-8b"), known, gpu, "bf16").memory(Settings(Sft(), Qlora(), frugal))
    return gpu.model_copy(update={"memory_gb": held.peak_gb * 1.001 / USABLE_SHARE})


@pytest.mark.parametrize("longest", [256, 64])
def test_what_a_refused_run_proposes_holds_for_the_longest_rows_that_the_recipe_then_allows(
    tmp_path: Path, longest: int
) -> None:
    """All weights of 8B do not fit whatever the rows; what is proposed is no setting for rows of one token."""
    store, shape, gpu = Store(tmp_path), published("llama-3.1-8b"), small_gpu(longest)
    line = whole_model(tiny(16))
    with pytest.raises(ComputeError) as refused:
        require_line_fits(line.stages, ["weekday_model"], store, shape, [gpu])
    asked = settings_of(line.recipe.step("weekday"))
    nearest = nearest_that_fits(asked, step_place(line.stages["weekday_model"], store, shape, [gpu]))
    assert nearest is not None and f"these fit: {nearest}" in refused.value.mend
    assert nearest.optimization.max_seq_len == (asked.optimization.max_seq_len if longest == 256 else longest)
    mended = with_settings(line, nearest)
    require_line_fits(mended.stages, ["weekday_model"], store, shape, [gpu])
    place = step_place(mended.stages["weekday_model"], store, shape, [gpu])
    assert place.lengths.longest == longest and place.fits(settings_of(mended.recipe.step("weekday")))


def whole_model(line: Line) -> Line:
    """``line``, its second expert trained in all weights."""
    values = line.recipe.model_dump(mode="json")
    values["training"][3]["update"] = {"type": "full"}
    return build_line(Recipe.model_validate(values), line.contracts, line.folder)


def with_settings(line: Line, proposed: Settings) -> Line:
    """``line`` with what is proposed for its second expert written into the recipe."""
    values = line.recipe.model_dump(mode="json")
    values["training"][3]["update"] = proposed.update.model_dump(mode="json")
    values["training"][3]["optimization"] = proposed.optimization.model_dump(mode="json")
    if proposed.row_limit:
        section, name, field = proposed.row_limit.split(".")
        values[section][name][field] = proposed.optimization.max_seq_len
    return build_line(Recipe.model_validate(values), line.contracts, line.folder)


def test_where_rows_are_made_the_proposal_keeps_their_length(store: Store) -> None:
    """The rows that the mix holds are as long as they are, and the step that takes the proposal takes them all."""
    line, gpu = whole_model(tiny(16)), small_gpu(256)
    with pytest.raises(ComputeError, match=r"these fit: update: \{type: qlora"):
        require_line_fits(line.stages, ["weekday_model"], store, published("llama-3.1-8b"), [gpu])
    place = step_place(line.stages["weekday_model"], store, published("llama-3.1-8b"), [gpu])
    asked = settings_of(line.recipe.step("weekday"))
    nearest = nearest_that_fits(asked, place)
    assert nearest is not None and nearest.optimization.max_seq_len == asked.optimization.max_seq_len
    assert (place.lengths.known, place.row_limit, nearest.row_limit) == (True, "", "")


@pytest.mark.parametrize(("memory", "passes"), [(SMALL, False), ("cpu:1x64", True)])
def test_the_check_can_be_run_before_the_asset_is_made(store: Store, memory: str, passes: bool) -> None:
    line = tiny(4096)
    chosen = dg.AssetSelection.checks(dg.AssetCheckKey(line.stages["weekday_model"].key, "memory_fits"))
    definitions = dg.Definitions(
        assets=line.assets,
        asset_checks=line.checks,
        jobs=[dg.define_asset_job("look", selection=chosen)],
        resources={
            "store": store,
            "trainer": FakeTrainer(described_devices=memory),
            **dict.fromkeys(("contracts", "bases", "generator", "merger", "quantizer", "evaluator"), object()),
        },
    )
    (found,) = definitions.resolve_job_def("look").execute_in_process().get_asset_check_evaluations()
    assert found.passed == passes
    assert ("these settings fit: " in (found.description or "")) != passes


def test_kt_run_queues_nothing_that_cannot_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kt_assets.cli.main import main

    monkeypatch.setenv("KT_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("KT_FAKE_DEVICES", "cpu:1x0.4")
    monkeypatch.setattr(sys, "argv", ["kt", "run", "tiny"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "[compute] tiny/sft_model: needs" in capsys.readouterr().err
    assert not (tmp_path / "store" / "work").exists()


def test_kt_plan_says_the_same_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kt_assets.cli.main import main

    monkeypatch.setenv("KT_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    for model, code in (("smollm2-135m", 0), ("llama-2-70b", 1)):
        monkeypatch.setattr(sys, "argv", ["kt", "plan", "tiny", "--device", "rtx4090", "--model", model, "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        assert int(end.value.code or 0) == code
        plan = json.loads(capsys.readouterr().out)
        sft = next(stage for stage in plan["stages"] if stage["asset"] == "sft_model")
        assert sft["runs"] and sft["refused"] == bool(code)
        assert sum(sft["memory_parts_gb"].values()) == pytest.approx(sft["memory_gb"], abs=0.01)
