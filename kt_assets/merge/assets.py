"""The merge room: several experts become one model by arithmetic on their weights."""

import json

import dagster as dg

from kt_assets.probes import probe_prompts
from kt_assets.stage import Made, Stage, Work
from kt_resources.mergers.protocol import Merger
from kt_resources.mergers.spec import MergeInput, MergeSpec
from kt_resources.recipes.recipe import Merge, Recipe
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows

VERSION = "1"


def merge_config(recipe: Recipe) -> Merge:
    """The recipe's merge; only called where it has one."""
    assert recipe.merge is not None
    return recipe.merge


def merged_model(stage: Stage) -> dg.AssetsDefinition:
    """The merged checkpoint of the line's experts, measured against each of them."""

    @dg.asset(**stage.arguments())
    def merged(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], merger: dg.ResourceParam[Merger]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: merge_models(work, merger))

    return merged


def merge_models(work: Work, merger: Merger) -> Made:
    """Merge the inputs as the config says."""
    config: Merge = work.config
    spec = MergeSpec(
        out_dir=work.out,
        scratch_dir=work.scratch,
        base_dir=work.inputs["base"].path("model"),
        inputs=tuple(MergeInput(name=name, dir=work.inputs[name].path("model")) for name in config.inputs),
        method=config.method,
        probe_prompts=probe_prompts(read_rows(work.inputs["evaluation"].path("items.parquet")), config.num_probes),
    )
    result = merger.merge(spec, work.needs, work.context)
    return Made.of_program(result, json.loads((work.out / "facts.json").read_text()), {})
