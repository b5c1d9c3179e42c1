"""Variants of a recipe under other seeds, and their page."""

from pathlib import Path

import yaml

from benchmarks.seeds.page import page
from benchmarks.seeds.variant import seeded
from kt_resources.recipes.recipe import Recipe

RECIPE = yaml.safe_load((Path(__file__).parents[2] / "kt_assets/recipes/arithmetic/recipe.yaml").read_text())


def test_a_variant_draws_other_rows_and_keeps_the_held_out_items():
    own, other = (Recipe.model_validate(seeded(RECIPE, variant)) for variant in (0, 2))
    assert (own.line, other.line) == ("arithmetic_seed0", "arithmetic_seed2")
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


def test_the_page_shows_mean_and_range_and_every_seeds_gain():
    text = page("mine", [results(0.0, 0.5), results(0.1, 0.7)])
    # the mean of 50 % and 70 % is 60 %; the gains are 50 and 60 points
    assert "| sft_model | 60.0% (50.0% to 70.0%) |" in text
    assert "| majority_answer | 10.0% (10.0% to 10.0%) |" in text
    assert "| sft_model over base_model | +50.0% (+40.0% to +60.0%) | +60.0% (+50.0% to +70.0%) |" in text
