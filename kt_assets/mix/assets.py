"""The mix room: curated and synthetic rows become what training reads."""

from typing import Literal

import dagster as dg

from kt_assets.mix.build import BuiltMix, build_mix, build_prompts
from kt_assets.mix.judged import judged_rows, judgement_facts
from kt_assets.mix.show import labels_table, marked_markdown, pairs_table
from kt_assets.mix.split import hold_out, write_split
from kt_assets.mix.tokenize_rows import mask_facts
from kt_assets.stage import Made, Stage, Work
from kt_resources.compute.program import write_json
from kt_resources.recipes.data import FileSource
from kt_resources.recipes.datasets import Mix, Own, OwnLabels, OwnPairs, Prompts
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows
from kt_resources.tokenizing import load_tokenizer
from kt_resources.verifiers import Verifier

VERSION = "1"


class PromptsConfig(Prompts):
    """The prompts, the sources that count where the recipe names none, and what judges the answers to them."""

    purpose_sources: tuple[str, ...]
    verifier: Verifier


class OwnConfig(Own):
    """A person's judgements, and the files that count where the recipe names none."""

    type: Literal["pairs", "labels"]
    purpose_sources: tuple[str, ...]


def prompts_config(recipe: Recipe, dataset: Prompts) -> PromptsConfig:
    """The dataset with the recipe's sources of purpose ``rl``."""
    return PromptsConfig(purpose_sources=recipe.sources_for("rl"), verifier=recipe.verifier, **dict(dataset))


def own_config(recipe: Recipe, dataset: OwnPairs | OwnLabels) -> OwnConfig:
    """The dataset with the recipe's files of purpose ``preference``."""
    files = {source.name for source in recipe.data.sources if isinstance(source, FileSource)}
    sources = tuple(name for name in recipe.sources_for("preference") if name in files)
    return OwnConfig(purpose_sources=sources, **dict(dataset))


def training_mix(stage: Stage) -> dg.AssetsDefinition:
    """Rows mixed by weight, in the base model's chat template, with the loss on the answer only."""

    @dg.asset(**stage.arguments())
    def mixed(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make_mix)

    return mixed


def make_mix(work: Work) -> Made:
    """Sample, tokenize, mask and split; the metadata shows which tokens are trained."""
    config: Mix = work.config
    tokenizer = load_tokenizer(work.inputs["base"].path("model"))
    tables = [work.inputs[name] for name in ("curated", "synthetic", "replay") if name in work.inputs]
    rows = [row for artifact in tables for row in read_rows(artifact.path("examples.parquet"))]
    mix = build_mix(rows, config, tokenizer)
    facts = mix_facts(mix) | write_split(work.out, mix.train, mix.validation, "tokenized")
    write_json(work.out / "facts.json", facts)
    told = {
        "left out": mix.counts,
        "notes": mix.sampled.notes,
        "rows by source": mask_facts(mix.train)["rows_by_source"],
    }
    return Made(facts | told, {"what is trained": marked_markdown(mix.train, tokenizer)})


def mix_facts(mix: BuiltMix) -> dict[str, float | int]:
    """The masks of the training side, for the contract."""
    return {name: value for name, value in mask_facts(mix.train).items() if not isinstance(value, dict)}


def rl_prompts(stage: Stage) -> dg.AssetsDefinition:
    """Verifiable prompts for reinforcement learning, apart from those of SFT and preference."""

    @dg.asset(**stage.arguments())
    def prompts(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make_prompts)

    return prompts


def make_prompts(work: Work) -> Made:
    """Select the prompts and hold some out."""
    config: PromptsConfig = work.config
    rows = read_rows(work.inputs["curated"].path("examples.parquet"))
    train, validation = build_prompts(rows, config, config.purpose_sources, config.verifier)
    facts = write_split(work.out, train, validation, "example")
    write_json(work.out / "facts.json", facts)
    return Made(facts)


def own_judgements(stage: Stage) -> dg.AssetsDefinition:
    """Pairs or labelled answers of a person's file: what is better, or good, was said there."""

    @dg.asset(**stage.arguments())
    def judged(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make_judgements)

    return judged


def make_judgements(work: Work) -> Made:
    """Take the rows of the sources, hold some prompts out."""
    config: OwnConfig = work.config
    curated = read_rows(work.inputs["curated"].path("examples.parquet"))
    rows = judged_rows(curated, config.type, config.sources or config.purpose_sources, config.num_rows, config.seed)
    train, validation = hold_out(rows, config.validation_fraction, config.seed)
    kind, table = ("pair", pairs_table) if config.type == "pairs" else ("label", labels_table)
    facts = write_split(work.out, train, validation, kind) | judgement_facts(train, kind)
    write_json(work.out / "facts.json", facts)
    return Made(facts, {config.type: table(train)})
