"""A line of a person's own files with faked resources: held out, curated, mixed and judged by the real contracts."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kt_assets.line import Line, build_line
from kt_assets.staleness import stale_stages
from kt_resources.bases.fake import FakeBaseLoader
from kt_resources.contracts.contract import load_contracts
from kt_resources.contracts.judge import GreatExpectations
from kt_resources.evaluators.fake import FakeEvaluator
from kt_resources.generators.fake import FakeGenerator
from kt_resources.quantizers.fake import FakeQuantizer
from kt_resources.recipes.loading import load_recipe
from kt_resources.store.schemas import prompt_key
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows
from kt_resources.trainers.fake import FakeTrainer

RECIPE = """\
line: mine
base_model: {random: llama}
verifier: {type: exact}
data:
  sources:
    - {name: sums, type: file, path: sums.jsonl}
    - {name: asked, type: file, path: asked.jsonl, purpose: rl}
eval_tasks: {type: held_out, fraction: 0.2}
datasets:
  mix: {type: mix, weights: {sums: 1.0}}
  prompts: {type: prompts, validation_rows: 4}
training:
  - {name: sft, data: mix, objective: {type: sft}, update: {type: lora}}
  - {name: grpo, start: sft, data: prompts, objective: {type: grpo}, update: {type: lora}}
"""


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def own_line(folder: Path, recipe: str = RECIPE) -> Line:
    (folder / "recipe.yaml").write_text(recipe)
    return build_line(load_recipe(folder / "recipe.yaml"), load_contracts(), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("mine")
    write(here, "sums.jsonl", [{"prompt": f"What is {n} + {n}?", "completion": f"#### {2 * n}"} for n in range(60)])
    write(here, "asked.jsonl", [{"prompt": f"What is {n} - 1?", "answer": n - 1} for n in range(1, 25)])
    return here


def run(line: Line, store: Store, select: list[str] | None = None) -> dg.ExecuteInProcessResult:
    fakes = {
        "contracts": GreatExpectations(),
        "bases": FakeBaseLoader(),
        "trainer": FakeTrainer(),
        "generator": FakeGenerator(lambda prompt, index: f"#### {prompt['answer']}"),
        "quantizer": FakeQuantizer(),
        "evaluator": FakeEvaluator(),
    }
    definitions = dg.Definitions(
        assets=line.assets, asset_checks=line.checks, jobs=[line.job], resources={"store": store, **fakes}
    )
    keys = [line.stages[name].key for name in select] if select else None
    job = definitions.resolve_job_def(line.job_name)
    return job.execute_in_process(raise_on_error=False, asset_selection=keys)


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Line, Store, dg.ExecuteInProcessResult]:
    line, store = own_line(folder), Store(tmp_path_factory.mktemp("store"))
    return line, store, run(line, store)


def rows(store: Store, asset: str, name: str) -> list[dict[str, Any]]:
    artifact = store.current(f"mine/{asset}")
    assert artifact is not None
    return read_rows(artifact.path(name))


def test_every_stage_is_made_and_passes_its_contract(made: tuple[Line, Store, dg.ExecuteInProcessResult]) -> None:
    line, store, result = made
    assert result.success
    assert line.absent == {
        "synthetic_examples": "the recipe has no data.synthetic",
        "merged_model": "the recipe has no merge",
    }
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed and e.severity.value == "ERROR"]
    assert failed == []
    assert stale_stages(line, store) == {}


def test_held_out_prompts_stand_in_no_dataset(made: tuple[Line, Store, dg.ExecuteInProcessResult]) -> None:
    _, store, _ = made
    items = rows(store, "eval_tasks", "items.parquet")
    held_out = {prompt_key(row) for row in items}
    assert len(held_out) == 12  # a fifth of 60
    trained = {
        prompt_key(row) for row in rows(store, "mix", "train.parquet") + rows(store, "mix", "validation.parquet")
    }
    assert len(trained) == 48
    assert not trained & held_out
    assert all(row["answer"] == row["completion"].removeprefix("#### ") for row in items)


def test_a_held_out_item_is_traced_to_its_line_of_the_file(
    made: tuple[Line, Store, dg.ExecuteInProcessResult],
) -> None:
    from kt_resources.store.lineage import sightings

    item = rows(made[1], "eval_tasks", "items.parquet")[0]
    assert item["origin"].startswith("sums.jsonl:")
    assert sightings(made[1], item["id"]) == []  # no model saw it
    trained = rows(made[1], "mix", "train.parquet")[0]
    assert "sft_model" in {seen.artifact.asset.split("/")[1] for seen in sightings(made[1], trained["id"])}


def test_prompt_rows_carry_the_answer_that_the_verifier_compares_with(
    made: tuple[Line, Store, dg.ExecuteInProcessResult],
) -> None:
    prompts = rows(made[1], "prompts", "train.parquet")
    assert len(prompts) == 20
    assert all(row["completion"] is None and row["answer"].isdigit() for row in prompts)


def test_a_verifier_that_calls_right_answers_wrong_stops_the_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def score(completion, row):\n    return 0\n")
    (tmp_path / "sums.jsonl").write_bytes((folder / "sums.jsonl").read_bytes())
    (tmp_path / "asked.jsonl").write_bytes((folder / "asked.jsonl").read_bytes())
    line = own_line(tmp_path, RECIPE.replace("{type: exact}", '{type: python, path: "rewards.py:score"}'))
    store = Store(tmp_path / "store")
    result = run(line, store, ["base_model", "raw_examples", "eval_tasks", "curated_examples"])
    assert not result.success
    failed = [e.check_name for e in result.get_asset_check_evaluations() if not e.passed]
    assert failed == ["right_answers_are_right"]
    assert store.current("mine/curated_examples") is None


def test_without_a_verifier_the_items_keep_their_answers(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_bytes((folder / "sums.jsonl").read_bytes())
    (tmp_path / "asked.jsonl").write_bytes((folder / "asked.jsonl").read_bytes())
    line = own_line(tmp_path, RECIPE.replace("verifier: {type: exact}\n", ""))
    assert line.absent["grpo_model"] == "the recipe has no verifier, which the objective grpo rewards by"
    store = Store(tmp_path / "store")
    assert run(line, store, ["base_model", "raw_examples", "eval_tasks"]).success
    assert all(row["answer"] == row["completion"] for row in rows(store, "eval_tasks", "items.parquet"))


def test_items_of_a_file_decontaminate_the_sources(folder: Path, tmp_path: Path) -> None:
    for name in ("sums.jsonl", "asked.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    write(tmp_path, "exam.jsonl", [{"prompt": f"What is {n} + {n}?", "answer": 2 * n} for n in range(50, 70)])
    line = own_line(tmp_path, RECIPE.replace("{type: held_out, fraction: 0.2}", "{type: file, path: exam.jsonl}"))
    store = Store(tmp_path / "store")
    assert run(line, store, ["base_model", "raw_examples", "eval_tasks", "curated_examples"]).success
    removed = [row["reason"] for row in rows(store, "curated_examples", "removed.parquet")]
    assert removed == ["in_evaluation_set"] * 10  # 50 to 59 stand in both files
    write(tmp_path, "exam.jsonl", [{"prompt": "What is 70 + 70?", "answer": 140}] * 4)
    stale = stale_stages(own_line(tmp_path, (tmp_path / "recipe.yaml").read_text()), store)
    assert str(stale["eval_tasks"]) == "recipe or inputs changed"


JUDGED = """\
line: mine
base_model: {random: llama}
data:
  sources:
    - {name: pairs, type: file, path: pairs.jsonl, purpose: preference}
    - {name: votes, type: file, path: votes.csv, purpose: preference}
datasets:
  mix: {type: mix, weights: {pairs: 1.0}}
  my_pairs: {type: pairs, sources: [pairs], validation_fraction: 0.2}
  my_labels: {type: labels, sources: [votes]}
training:
  - {name: sft, data: mix, objective: {type: sft}, update: {type: lora}}
  - {name: dpo, start: sft, data: my_pairs, objective: {type: dpo}, update: {type: lora}}
  - {name: orpo, data: my_pairs, objective: {type: orpo}, update: {type: lora}}
  - {name: kto, start: sft, data: my_labels, objective: {type: kto}, update: {type: lora}}
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Line, Store, dg.ExecuteInProcessResult]:
    here = tmp_path_factory.mktemp("judged")
    pairs = [{"prompt": f"Name city {n}.", "chosen": f"City {n}", "rejected": f"No, {n}"} for n in range(40)]
    write(here, "pairs.jsonl", pairs)
    votes = "".join(f"Greet guest {n}.,Welcome {n}!,{'true' if n % 2 else 'false'}\n" for n in range(40))
    (here / "votes.csv").write_text(f"prompt,completion,label\n{votes}")
    line, store = own_line(here, JUDGED), Store(here / "store")
    return line, store, run(line, store)


def test_a_persons_pairs_and_labels_need_no_verifier(judged: tuple[Line, Store, dg.ExecuteInProcessResult]) -> None:
    line, store, result = judged
    assert result.success
    assert {"dpo_model", "orpo_model", "kto_model"} <= line.stages.keys()
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed and e.severity.value == "ERROR"]
    assert failed == []
    assert stale_stages(line, store) == {}


def test_pairs_hold_both_answers_and_none_that_is_held_out(
    judged: tuple[Line, Store, dg.ExecuteInProcessResult],
) -> None:
    _, store, _ = judged
    held_out = {prompt_key(row) for row in rows(store, "eval_tasks", "items.parquet")}
    train, validation = (rows(store, "my_pairs", f"{side}.parquet") for side in ("train", "validation"))
    # 80 prompts, a tenth of each source held out: 36 pairs are left, of which a fifth validates
    assert (len(train), len(validation)) == (29, 7)
    assert all(row["chosen"].split()[1] == row["rejected"].split()[1] for row in train)
    assert not held_out & {prompt_key(row) for row in [*train, *validation]}
    labels = rows(store, "my_labels", "train.parquet")
    assert {row["label"] for row in labels} == {True, False}
    assert all(row["label"] is bool(int(row["completion"][8:-1]) % 2) for row in labels)


def test_a_pair_is_traced_to_its_line_of_the_file(judged: tuple[Line, Store, dg.ExecuteInProcessResult]) -> None:
    from kt_resources.store.lineage import sightings

    _, store, _ = judged
    raw = {row["id"]: row for row in rows(store, "raw_examples", "examples.parquet")}
    pair = rows(store, "my_pairs", "train.parquet")[0]
    (parent,) = pair["parents"]
    assert raw[parent]["origin"] == pair["origin"]
    assert raw[parent]["origin"].startswith("pairs.jsonl:")
    models = {seen.artifact.asset.split("/")[1] for seen in sightings(store, parent)}
    assert {"sft_model", "dpo_model", "orpo_model"} <= models
