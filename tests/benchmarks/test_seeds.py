"""Variants of a recipe under other seeds, and their page."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.seeds.aims import aim_rows
from benchmarks.seeds.page import page
from benchmarks.seeds.run import make, variant_of
from benchmarks.seeds.variant import seeded
from kt_resources.recipes.recipe import Recipe

RECIPE = yaml.safe_load((Path(__file__).parents[2] / "kt_assets/recipes/arithmetic/recipe.yaml").read_text())


def test_a_variant_draws_other_rows_and_keeps_the_held_out_items():
    own, other = (Recipe.model_validate(seeded(RECIPE, variant)) for variant in (0, 2))
    assert seeded(RECIPE, 0) == RECIPE
    assert other.line == "arithmetic_seed2"
    assert own.eval_tasks == other.eval_tasks
    assert [source.seed + 200 for source in own.data.sources] == [source.seed for source in other.data.sources]
    assert other.data.synthetic.prompts.seed == own.data.synthetic.prompts.seed + 200
    assert {step.optimization.seed for step in other.training} == {2}
    assert {dataset.seed for dataset in other.datasets.values()} == {2}


def results(base: float, sft: float) -> dict:
    models = [
        {"asset": "base_model", "made_from": [], "metrics": {"accuracy": {"value": base, "n": 10}}},
        {"asset": "sft_model", "made_from": ["base_model"], "metrics": {"accuracy": {"value": sft, "n": 10}}},
    ]
    gain = {"model": "sft_model", "baseline": "base_model", "metric": "accuracy", "value": sft - base}
    return {
        "models": models,
        "baselines": {"majority_answer": {"value": 0.1}},
        "comparisons": [gain | {"low": sft - base - 0.1, "high": sft - base + 0.1}],
    }


def made_with(threads: str) -> dict:
    return {"eval_tasks": {"rows": 5}, "sft_model": {"compute": {"threads": threads}}}


def test_the_page_shows_mean_and_range_and_every_seeds_gain():
    seeds = [{"results": results(0.0, 0.5), "facts": made_with("2"), "seconds": {"sft_model": 100.4, "base_model": 20}}]
    seeds += [{"results": results(0.1, 0.7), "facts": {}, "seconds": {"sft_model": 90, "base_model": 30}}]
    text = page("mine", seeds, with_aims=False)
    # the mean of 50 % and 70 % is 60 %; the gains are 50 and 60 points
    assert "| sft_model | 60.0% (50.0% to 70.0%) |" in text
    assert "| majority_answer | 10.0% (10.0% to 10.0%) |" in text
    assert "| sft_model over base_model | +50.0% (+40.0% to +60.0%) | +60.0% (+50.0% to +70.0%) |" in text
    assert "| all | 120 | 120 |" in text and "aim" not in text
    assert text.endswith("| threads | 2 | not told |\n")


def seen(merged: dict[str, float], low: float) -> dict:
    families = {"grpo_model": {"sums": 0.7, "days": 0.0}, "calendar_model": {"sums": 0.68, "days": 0.4}}

    def model(asset: str, values: dict[str, float], made_from: list[str]) -> dict:
        metrics = {f"accuracy/{family}": {"value": value} for family, value in values.items()}
        return {"asset": asset, "made_from": made_from, "metrics": metrics}

    def row(model: str, baseline: str, metric: str, value: float, low: float) -> dict:
        found = {"model": model, "baseline": baseline, "metric": metric}
        return found | {"value": value, "low": low, "high": value + 0.02}

    best = {"sums": "grpo_model", "days": "calendar_model"}
    gains = [
        row("merged_model", best[f], f"accuracy/{f}", value - families[best[f]][f], -0.1) for f, value in merged.items()
    ]
    gains += [
        row("sft_model", "base_model", "accuracy", 0.5, 0.4),
        row("sft_model", "few_shot_base", "accuracy", 0.2, 0),
    ]
    gains += [row("grpo_model", "preference_model", "accuracy", 0.02, low)]
    gains += [row("gguf_model", "merged_model", "accuracy", -0.02, low - 0.04)]
    models = [model(asset, values, []) for asset, values in families.items()]
    models.append(model("merged_model", merged, ["grpo_model", "calendar_model"]))
    preferred = {"preference_gain": 0.1, "preference_gain_low": low, "preference_gain_high": 0.2}
    report = {"perplexity_ratio_to_base": 1.3, "general_ability_change": -0.02}
    facts = {"preference_model": preferred, "evaluation_report": report}
    return {"results": {"models": models, "comparisons": gains}, "facts": facts, "seconds": {"sft_model": 1190.0}}


def test_each_aim_counts_the_seeds_that_meet_it():
    rows = aim_rows([seen({"sums": 0.69, "days": 0.4}, 0.001), seen({"sums": 0.7, "days": 0.35}, -0.02)])
    counts = [row[-1] for row in rows]
    assert counts == [
        "2 of 2",  # 50 points over the base
        "0 of 2",  # 20 over the base after examples, where 25 are asked
        "1 of 2",  # a lower bound of 0.1 points, of -2
        "1 of 2",
        "1 of 2",  # one point below in sums; five below in days
        "1 of 2",  # lower bounds of -3.9 and of -6 points
        "0 of 2",
        "2 of 2",
        "2 of 2",
    ]
    assert rows[4][1].startswith("sums: -1.0") and rows[4][2].startswith("days: -5.0")


KT = """#!/bin/sh
echo "$2 $KT_HOME $(nproc)" >> {told}
while [ $(wc -l < {told}) -lt 2 ]; do sleep 0.05; done
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores are shared by affinity, which is Linux's")
def test_two_at_once_share_the_cores_and_have_a_home_each(tmp_path, monkeypatch):
    told, cores = tmp_path / "told", len(os.sched_getaffinity(0))
    if cores < 2:
        pytest.skip("one core")
    command = tmp_path / "bin" / "kt"
    command.parent.mkdir()
    command.write_text(KT.format(told=told))
    command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    monkeypatch.setenv("KT_HOME", str(tmp_path / "mine"))
    variants = [variant_of("arithmetic", number, tmp_path) for number in (1, 2)]
    make(variants, at_once=2)
    lines = sorted(told.read_text().split("\n")[:2])
    expected = [f"{one.name} {tmp_path}/seeds/{one.name}/home" for one in variants]
    assert [line.rsplit(" ", 1)[0] for line in lines] == expected
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines) == cores
    assert variant_of("arithmetic", 0, tmp_path).home.root == tmp_path / "mine"


def test_a_failed_variant_is_named_after_all_have_ended(tmp_path, monkeypatch):
    command = tmp_path / "bin" / "kt"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/told\n[ "$2" != arithmetic_seed1 ]\n')
    command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    with pytest.raises(SystemExit, match=r"failed: arithmetic_seed1; the same command goes on"):
        make([variant_of("arithmetic", number, tmp_path) for number in (1, 2)], at_once=1)
    assert (tmp_path / "told").read_text().split() == ["arithmetic_seed1", "arithmetic_seed2"]
