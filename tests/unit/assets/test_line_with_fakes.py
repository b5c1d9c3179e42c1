"""The whole ``tiny`` line with faked resources: real assets, real store, real checks; no program is launched."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kt_assets.definitions import load_lines
from kt_assets.evaluate.assets import known_evaluations
from kt_assets.evaluate.collect import report_data
from kt_assets.launchpad import Options
from kt_assets.line import Line
from kt_assets.stage import Work
from kt_assets.staleness import stale_stages
from kt_resources.bases.fake import FakeBaseLoader
from kt_resources.contracts.judge import GreatExpectations
from kt_resources.evaluators.fake import FakeEvaluator
from kt_resources.evaluators.known import KEPT
from kt_resources.generators.fake import FakeGenerator
from kt_resources.mergers.fake import FakeMerger
from kt_resources.quantizers.fake import FakeQuantizer
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows
from kt_resources.trainers.fake import FakeTrainer


def tiny_line(change: Callable[[dict[str, Any]], None] | None = None) -> Line:
    """The shipped ``tiny`` line, its recipe changed by ``change``."""
    from kt_assets.line import build_line

    line = next(line for line in load_lines()[0] if line.name == "tiny")
    if change is None:
        return line
    values = line.recipe.model_dump(mode="json")
    change(values)
    return build_line(Recipe.model_validate(values), line.contracts, line.folder)


def half_right(prompt: dict[str, Any], index: int) -> str:
    """The right answer for every other sample."""
    return f"#### {prompt['answer']}" if index % 2 else "#### no"


def fakes(**other: Any) -> dict[str, Any]:
    return {
        "contracts": GreatExpectations(),
        "bases": FakeBaseLoader(),
        "trainer": FakeTrainer(),
        "generator": FakeGenerator(half_right),
        "merger": FakeMerger(),
        "quantizer": FakeQuantizer(),
        "evaluator": FakeEvaluator(),
    } | other


def run(line: Line, store: Store, **other: Any) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(
        assets=line.assets, asset_checks=line.checks, jobs=[line.job], resources={"store": store, **fakes(**other)}
    )
    return definitions.resolve_job_def(line.job_name).execute_in_process(raise_on_error=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dg.ExecuteInProcessResult]:
    store = Store(tmp_path_factory.mktemp("store"))
    return store, run(tiny_line(), store)


def rows(store: Store, asset: str, name: str) -> list[dict[str, Any]]:
    artifact = store.current(f"tiny/{asset}")
    assert artifact is not None
    return read_rows(artifact.path(name))


def test_every_asset_is_materialized_and_every_check_runs(made: tuple[Store, dg.ExecuteInProcessResult]) -> None:
    _, result = made
    assert result.success
    assert len(result.get_asset_materialization_events()) == len(tiny_line().stages)
    evaluations = result.get_asset_check_evaluations()
    rules = sum(len(stage.contract.rules) for stage in tiny_line().stages.values() if stage.contract)
    assert len(evaluations) == rules + len(tiny_line().recipe.training)  # whether each training fits
    assert [e.check_name for e in evaluations if not e.passed and e.severity == dg.AssetCheckSeverity.ERROR] == []


def test_nothing_is_stale_afterwards(made: tuple[Store, dg.ExecuteInProcessResult]) -> None:
    assert stale_stages(tiny_line(), made[0]) == {}


def test_a_change_of_the_grpo_step_makes_it_and_what_follows_stale(
    made: tuple[Store, dg.ExecuteInProcessResult],
) -> None:
    def change(values: dict[str, Any]) -> None:
        values["training"][2]["optimization"]["learning_rate"] = 0.5

    stale = stale_stages(tiny_line(change), made[0])
    assert {name: str(why) for name, why in stale.items()} == {
        "grpo_model": "recipe or inputs changed",
        "merged_model": "follows grpo_model",
        "gguf_model": "follows merged_model",
        "evaluation_report": "follows grpo_model",
    }


def test_synthetic_rows_are_those_that_the_verifier_accepts(made: tuple[Store, dg.ExecuteInProcessResult]) -> None:
    accepted = rows(made[0], "synthetic_examples", "examples.parquet")
    assert accepted
    assert all(row["completion"] == f"#### {row['answer']}" for row in accepted)


def test_pairs_prefer_the_right_answer(made: tuple[Store, dg.ExecuteInProcessResult]) -> None:
    pairs = rows(made[0], "preference_pairs", "train.parquet")
    assert pairs
    assert all((pair["chosen"], pair["rejected"]) == (f"#### {pair['answer']}", "#### no") for pair in pairs)


def test_purposes_share_no_prompt(made: tuple[Store, dg.ExecuteInProcessResult]) -> None:
    from kt_resources.store.schemas import prompt_key

    names = ("training_mix", "preference_pairs", "rl_prompts")
    keys = {name: {prompt_key(row) for row in rows(made[0], name, "train.parquet")} for name in names}
    assert all(not keys[one] & keys[other] for one, other in itertools.combinations(names, 2))


def test_each_step_trains_what_the_recipe_says(tmp_path: Path) -> None:
    trainer = FakeTrainer()
    assert run(tiny_line(), Store(tmp_path), trainer=trainer).success
    by_name = {spec.name: spec for spec in trainer.specs}
    assert (by_name["sft"].objective.type, by_name["sft"].update.type) == ("sft", "full")
    assert (by_name["grpo"].objective.type, by_name["grpo"].optimization.max_steps) == ("grpo", 6)
    assert by_name["grpo"].verifier is not None and by_name["grpo"].verifier.type == "reasoning_gym"
    assert "preference_model" in str(by_name["grpo"].model_dir)
    assert "base_model" in str(by_name["weekday"].model_dir)


def test_a_teacher_is_a_parent_of_the_step_that_learns_from_it(tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        values["teachers"] = {"big": {"random": "llama", "seed": 7}}
        values["training"][0]["objective"] = {"type": "distillation", "teacher": "big"}

    line, store, trainer = tiny_line(change), Store(tmp_path), FakeTrainer()
    assert {role: stage.name for role, stage in line.stages["sft_model"].parents.items()} == {
        "start": "base_model",
        "data": "training_mix",
        "teacher": "big_model",
    }
    assert run(line, store, trainer=trainer).success
    companions = {spec.name: spec.companions for spec in trainer.specs}
    assert "big_model" in str(companions["sft"]["teacher"]) and companions["grpo"] == {}

    def other_teacher(values: dict[str, Any]) -> None:
        change(values)
        values["teachers"]["big"]["seed"] = 8

    stale = stale_stages(tiny_line(other_teacher), store)
    assert {"big_model", "sft_model"} <= stale.keys() and "training_mix" not in stale


def test_labels_are_what_the_verifier_says(tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        pairs = values["datasets"]["preference_pairs"]
        kept = {name: pairs[name] for name in ("policy", "num_samples", "sampling", "validation_fraction")}
        values["datasets"]["preference_pairs"] = {"type": "on_policy_labels", **kept}
        values["training"][1]["objective"] = {"type": "kto"}

    line, store, trainer = tiny_line(change), Store(tmp_path), FakeTrainer()
    assert run(line, store, trainer=trainer).success
    labelled = rows(store, "preference_pairs", "train.parquet")
    assert {row["label"] for row in labelled} == {True, False}
    assert all(row["label"] == (row["completion"] == f"#### {row['answer']}") for row in labelled)
    assert {spec.name: spec.objective.type for spec in trainer.specs}["preference"] == "kto"


def test_a_reward_model_has_its_own_contract_and_is_not_evaluated(tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        judge = values["training"][1] | {"name": "judge", "objective": {"type": "reward_model"}}
        values["training"].insert(2, judge)

    line, store = tiny_line(change), Store(tmp_path)
    result = run(line, store)
    assert result.success
    checked = {e.check_name for e in result.get_asset_check_evaluations() if e.asset_key.path[-1] == "judge_model"}
    assert "better_than_chance" in checked and "stops" not in checked
    assert "judge_model" not in line.stages["evaluation_report"].parents
    assert "preference_model" in line.stages["evaluation_report"].parents


def test_a_reward_model_no_better_than_chance_stops_the_line(tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        values["training"].insert(2, values["training"][1] | {"name": "judge", "objective": {"type": "reward_model"}})

    result = run(tiny_line(change), Store(tmp_path), trainer=FakeTrainer(facts={"final_eval_reward_accuracy": 0.5}))
    failed = {e.check_name for e in result.get_asset_check_evaluations() if not e.passed and e.blocking}
    assert "better_than_chance" in failed


def one_label(text: str) -> Callable[[dict[str, Any], int], str]:
    return lambda prompt, index: f"#### {prompt['answer']}" if text == "right" else "#### no"


@pytest.mark.parametrize(("answers", "rule"), [("right", "some_undesirable"), ("wrong", "some_desirable")])
def test_labels_of_one_kind_stop_the_line(answers: str, rule: str, tmp_path: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        values["datasets"]["preference_pairs"] = {"type": "on_policy_labels", "policy": "sft"}
        values["training"][1]["objective"] = {"type": "kto"}

    store = Store(tmp_path)
    result = run(tiny_line(change), store, generator=FakeGenerator(one_label(answers)))
    failed = {e.check_name for e in result.get_asset_check_evaluations() if not e.passed and e.blocking}
    assert rule in failed and store.current("tiny/preference_model") is None


def test_a_named_teacher_writes_the_synthetic_rows() -> None:
    def change(values: dict[str, Any]) -> None:
        values["teachers"] = {"big": {"random": "llama", "seed": 7}}
        values["data"]["synthetic"]["teacher"] = "big"

    assert tiny_line(change).stages["synthetic_examples"].parents["teacher"].name == "big_model"
    assert tiny_line().stages["synthetic_examples"].parents["teacher"].name == "base_model"


BROKEN = {
    "a changed chat template": ("trainer", FakeTrainer(facts={"chat_template_identical": False}), "sft_model"),
    "another tokenizer": ("trainer", FakeTrainer(facts={"tokenizer_identical": False}), "sft_model"),
    "another stop token": ("trainer", FakeTrainer(facts={"eos_token_id_identical": False}), "sft_model"),
    "a resized vocabulary": ("trainer", FakeTrainer(facts={"vocab_size_identical": False}), "sft_model"),
    "untied embeddings": ("trainer", FakeTrainer(facts={"tied_embeddings_survive": False}), "sft_model"),
    "a step that changed nothing": ("trainer", FakeTrainer(facts={"delta_norm_relative": 0.0}), "sft_model"),
    "weights that are NaN": ("trainer", FakeTrainer(facts={"finite": False}), "sft_model"),
    "merged answers that differ": ("trainer", FakeTrainer(facts={"adapter_merged_mean_kl": 0.5}), "sft_model"),
    "saved weights that answer otherwise": (
        "trainer",
        FakeTrainer(facts={"trained_saved_max_logit_diff": 0.5}),
        "sft_model",
    ),
    "a base that computes NaN": ("bases", FakeBaseLoader({"logits_finite": False}), "base_model"),
    "a base that says nothing": ("bases", FakeBaseLoader({"num_answer_tokens": 0}), "base_model"),
    "a GGUF far from its checkpoint": ("quantizer", FakeQuantizer(facts={"mean_kl_to_checkpoint": 2.0}), "gguf_model"),
    "a GGUF with other tokens": ("quantizer", FakeQuantizer(facts={"tokenizes_identically": False}), "gguf_model"),
    "a GGUF with another end": ("quantizer", FakeQuantizer(facts={"eos_id_identical": False}), "gguf_model"),
    "no pair to learn from": ("generator", FakeGenerator(lambda prompt, index: "#### no"), "preference_pairs"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_fault_stops_the_line_where_it_is(fault: str, tmp_path: Path) -> None:
    resource, fake, asset = BROKEN[fault]
    store = Store(tmp_path)
    line = tiny_line()
    result = run(line, store, **{resource: fake})
    assert not result.success
    failed = {e.asset_key.path[-1] for e in result.get_asset_check_evaluations() if not e.passed and e.blocking}
    assert asset in failed
    readers = [name for name, stage in line.stages.items() if line.stages[asset] in stage.parents.values()]
    assert readers
    assert [name for name in readers if store.current(f"tiny/{name}")] == []


def test_without_a_verifier_its_stages_are_absent_with_the_reason() -> None:
    def change(values: dict[str, Any]) -> None:
        values["verifier"] = {"type": "none", "answer_marker": None}
        values["datasets"]["training_mix"]["weights"] = {"divisors": 1.0}

    line = tiny_line(change)
    assert set(line.absent) >= {"synthetic_examples", "preference_pairs", "preference_model", "grpo_model"}
    assert "no verifier" in line.absent["preference_pairs"]
    assert line.absent["preference_model"].startswith("needs preference_pairs, which is absent")
    assert "sft_model" in line.stages


def test_without_a_verifier_the_held_out_answers_likelihood_is_measured() -> None:
    def change(values: dict[str, Any]) -> None:
        values["verifier"] = {"type": "none", "answer_marker": None}
        values["datasets"]["training_mix"]["weights"] = {"divisors": 1.0}

    asked = [line.stages["evaluation_report"].config.answer_perplexity for line in (tiny_line(), tiny_line(change))]
    assert asked == [False, True]


def test_the_report_shows_what_each_model_answered(made: tuple[Store, dg.ExecuteInProcessResult]) -> None:
    artifact = made[0].current("tiny/evaluation_report")
    assert artifact is not None
    page = artifact.path("run/report.html").read_text()
    results = json.loads(artifact.path("results.json").read_text())
    assert results["models"][0]["asset"] == "base_model"
    assert "merged_model" in page and "chain_sum" in page


def test_a_page_of_a_newer_version_takes_the_place_of_the_last_and_tells_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asset, told = Store(tmp_path), "tiny/evaluation_report", []
    run(tiny_line(), store)
    old = store.current(asset)
    monkeypatch.setattr("kt_assets.evaluate.assets.VERSION", "newer")
    monkeypatch.setattr("kt_assets.evaluate.assets.render_report", lambda data: told.append(data) or "a newer page")
    line = tiny_line()
    run(line, store)
    new = store.current(asset)
    assert old is not None and new is not None
    assert new.path("run/report.html").read_text() == "a newer page" != old.path("run/report.html").read_text()
    assert old.path("results.json").read_bytes() == new.path("results.json").read_bytes()
    rows = [*told[0].checks, *told[0].timings, *told[0].artifacts]
    assert rows and "evaluation_report" not in {row["asset"] for row in rows}
    shown = report_data(line.stages["evaluation_report"], store, new.folder)
    assert "evaluation_report" in {row["asset"] for row in shown.timings}


def test_a_report_is_told_what_the_last_one_asked_unless_all_is_made_anew(
    made: tuple[Store, dg.ExecuteInProcessResult],
) -> None:
    store, stage = made[0], tiny_line().stages["evaluation_report"]

    def known(rebuild: bool) -> Path | None:
        return known_evaluations(Work(stage, Any, None, Any, Options(rebuild=rebuild)), store)

    assert known(rebuild=False) is None  # the fake kept nothing
    last = store.current(stage.asset)
    assert last is not None
    (last.folder / KEPT).mkdir(parents=True)
    assert (known(rebuild=False), known(rebuild=True)) == (last.folder / KEPT, None)
    (last.folder / KEPT).rmdir()
