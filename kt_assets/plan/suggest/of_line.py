"""The situation of a line that there is: its rows by kind, as the recipe and its files tell them."""

from statistics import fmean

from kt_assets.line import Line
from kt_assets.plan.glance import Sources
from kt_assets.plan.suggest.situation import Goal, Situation, Wish
from kt_resources.compute.devices import Device
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.recipes.datasets import Mix, OnPolicy

KINDS = {
    "mix": "examples",
    "on_policy_pairs": "pairs",
    "pairs": "pairs",
    "on_policy_labels": "labels",
    "labels": "labels",
    "prompts": "prompts",
}
"""Type of a dataset → the kind of rows that it holds."""


def line_situation(line: Line, shape: ModelShape, device: Device, goal: Goal, wish: Wish) -> Situation:
    """Rows of sources by purpose; pairs and labels count where a dataset of the recipe makes or holds them."""
    recipe = line.recipe
    sources, rows = Sources(recipe.data, line.folder), {purpose: 0 for purpose in ("train", "preference", "rl")}
    for source in recipe.data.sources:
        rows[source.purpose] += sources.num_rows(source.name)
    judged = recipe.verifier.type != "none"
    kinds = {KINDS[d.type] for d in recipe.datasets.values() if judged or not isinstance(d, OnPolicy)}
    seen = [sum(tokens) for source in recipe.data.sources for tokens in sources.glance(source.name).lengths]
    mixes = [dataset for dataset in recipe.datasets.values() if isinstance(dataset, Mix)]
    longest = max([recipe.data.curation.max_tokens, *map(recipe.longest_row, mixes)])
    answer = min(longest, recipe.evaluate.max_new_tokens)
    return Situation(
        shape=shape,
        device=device,
        examples=rows["train"],
        pairs=rows["preference"] if "pairs" in kinds else 0,
        labels=rows["preference"] if "pairs" not in kinds and "labels" in kinds else 0,
        prompts=rows["rl"],
        verifiable=judged,
        longest=longest,
        mean=min(float(longest), fmean(seen)),
        answer_tokens=answer,
        goal=goal,
        wish=wish,
    )
