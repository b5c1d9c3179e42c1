"""The synthetic room: models write rows, the verifier says which are right."""

from collections.abc import Sequence

import dagster as dg

from kt_assets.mix.build import select_prompts
from kt_assets.mix.judged import judgement_facts
from kt_assets.mix.show import labels_table, pairs_table
from kt_assets.mix.split import hold_out, write_split
from kt_assets.sources.assets import show
from kt_assets.stage import Made, Stage, Work
from kt_assets.synthetic.completions import Candidate, candidates_by_id, with_references
from kt_assets.synthetic.few_shot import choose_few_shot, with_few_shot, without_shots
from kt_assets.synthetic.labels import build_labels
from kt_assets.synthetic.pairs import build_pairs
from kt_assets.synthetic.prompts import synthetic_prompts
from kt_assets.synthetic.reject import Accepted, accept
from kt_resources.compute.program import write_json
from kt_resources.generators.config import Engine, Sampling
from kt_resources.generators.protocol import Generator
from kt_resources.generators.spec import GenerateSpec
from kt_resources.recipes.data import Decontamination, Synthetic
from kt_resources.recipes.datasets import OnPolicyLabels, OnPolicyPairs
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.schemas import Row, prompt_key
from kt_resources.store.store import Artifact, Store
from kt_resources.store.tables import read_rows, write_rows
from kt_resources.verifiers import Verifier, build_verifier

VERSION = "2"


class SyntheticConfig(Synthetic):
    """The generation, with the verifier that judges it and what keeps held-out prompts away."""

    verifier: Verifier
    decontamination: Decontamination | None
    train_sources: tuple[str, ...]


class PairsConfig(OnPolicyPairs):
    """The pairs, with the verifier that tells better from worse."""

    verifier: Verifier
    purpose_sources: tuple[str, ...]


class LabelsConfig(OnPolicyLabels):
    """The labels, with the verifier that gives them."""

    verifier: Verifier
    purpose_sources: tuple[str, ...]


def synthetic_config(recipe: Recipe) -> SyntheticConfig:
    """The recipe's synthetic section; only called where it has one."""
    assert recipe.data.synthetic is not None
    return SyntheticConfig(
        verifier=recipe.verifier,
        decontamination=recipe.data.curation.decontamination,
        train_sources=recipe.sources_for("train"),
        **dict(recipe.data.synthetic),
    )


def pairs_config(recipe: Recipe, dataset: OnPolicyPairs) -> PairsConfig:
    """The dataset with the recipe's verifier and its sources of purpose ``preference``."""
    sources = recipe.sources_for("preference")
    return PairsConfig(verifier=recipe.verifier, purpose_sources=sources, **dict(dataset))


def labels_config(recipe: Recipe, dataset: OnPolicyLabels) -> LabelsConfig:
    """The dataset with the recipe's verifier and its sources of purpose ``preference``."""
    sources = recipe.sources_for("preference")
    return LabelsConfig(verifier=recipe.verifier, purpose_sources=sources, **dict(dataset))


def synthetic_examples(stage: Stage) -> dg.AssetsDefinition:
    """Answers that a teacher (the base model, unless told otherwise) gave and the verifier accepted."""

    @dg.asset(**stage.arguments())
    def synthesized(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], generator: dg.ResourceParam[Generator]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: synthesize(work, generator))

    return synthesized


def synthesize(work: Work, generator: Generator) -> Made:
    """Ask the teacher after a few examples of the family, keep what the verifier accepts."""
    config: SyntheticConfig = work.config
    curated = read_rows(work.inputs["curated"].path("examples.parquet"))
    held_out = read_rows(work.inputs["evaluation"].path("items.parquet"))
    sources = config.train_sources
    prompts, removed = synthetic_prompts(
        config.prompts, curated, held_out, config.decontamination, sources, config.verifier
    )
    shots = choose_few_shot([row for row in curated if row["source"] in sources], config.few_shot, config.sampling.seed)
    prompts = [dict(row) for row in without_shots(prompts, shots)]
    asked = [row | {"prompt": with_few_shot(row, shots.get(row["family"]))} for row in prompts]
    result, candidates = generate(work, generator, work.inputs["teacher"], asked, config.num_samples)
    accepted = accept(prompts, candidates, build_verifier(config.verifier), config, shots)
    write_rows(work.out / "examples.parquet", accepted.rows, "example")
    write_rows(work.out / "prompts.parquet", prompts, "example")
    facts = synthetic_facts(accepted, prompts, held_out, config.min_score)
    write_json(work.out / "facts.json", facts)
    told = {"completions": accepted.counts, "accepted of completions": accepted.by_family, "prompts removed": removed}
    return Made.of_program(result, facts | told, {"accepted rows": show(accepted.rows)})


def synthetic_facts(
    accepted: Accepted, prompts: Sequence[Row], held_out: Sequence[Row], min_score: float
) -> dict[str, float | int]:
    """One row for the contract: how much was accepted, and whether anything wrong or held out came through."""
    evaluated = {prompt_key(row) for row in held_out}
    return {
        "num_prompts": len(prompts),
        "num_accepted": len(accepted.rows),
        "acceptance_rate": accepted.acceptance_rate,
        "min_accepted_score_margin": min(accepted.scores, default=min_score) - min_score,
        "num_prompts_shared_with_evaluation": sum(prompt_key(row) in evaluated for row in accepted.rows),
    }


def preference_pairs(stage: Stage) -> dg.AssetsDefinition:
    """The policy's own answers in pairs, the better and the worse told apart by the verifier."""

    @dg.asset(**stage.arguments())
    def paired(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], generator: dg.ResourceParam[Generator]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: make_pairs(work, generator))

    return paired


def make_pairs(work: Work, generator: Generator) -> Made:
    """Sample the policy on prompts of its own purpose, score, pair best with worst, hold some out."""
    config: PairsConfig = work.config
    result, prompts, candidates = sample_policy(work, generator)
    pairs = build_pairs(prompts, candidates, build_verifier(config.verifier), config)
    train, validation = hold_out(pairs.rows, config.validation_fraction, config.seed)
    facts = write_split(work.out, train, validation, "pair") | judgement_facts(train, "pair")
    write_json(work.out / "facts.json", facts)
    return Made.of_program(result, facts | {"prompts by outcome": pairs.counts}, {"pairs": pairs_table(train)})


def preference_labels(stage: Stage) -> dg.AssetsDefinition:
    """The policy's own answers, each labelled desirable or not by the verifier."""

    @dg.asset(**stage.arguments())
    def labelled(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], generator: dg.ResourceParam[Generator]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: make_labels(work, generator))

    return labelled


def make_labels(work: Work, generator: Generator) -> Made:
    """Sample the policy on prompts of its own purpose, label each answer by its score, hold some prompts out."""
    config: LabelsConfig = work.config
    result, prompts, candidates = sample_policy(work, generator)
    labels = build_labels(prompts, candidates, build_verifier(config.verifier), config.min_score)
    train, validation = hold_out(labels.rows, config.validation_fraction, config.seed)
    facts = write_split(work.out, train, validation, "label") | judgement_facts(train, "label")
    write_json(work.out / "facts.json", facts)
    return Made.of_program(result, facts | {"answers by outcome": labels.counts}, {"labels": labels_table(train)})


def sample_policy(work: Work, generator: Generator) -> tuple[dict, list[Row], dict[str, list[Candidate]]]:
    """The generator's result, the prompts, and the policy's answers to each (with the references, where asked)."""
    config: PairsConfig | LabelsConfig = work.config
    curated = read_rows(work.inputs["curated"].path("examples.parquet"))
    sources = config.sources or config.purpose_sources
    prompts = select_prompts(curated, sources, config.num_prompts, config.seed, config.verifier)
    result, candidates = generate(work, generator, work.inputs["policy"], prompts, config.num_samples)
    return result, prompts, with_references(candidates, curated) if config.with_reference else candidates


def generate(
    work: Work, generator: Generator, model: Artifact, prompts: Sequence[Row], num_samples: int
) -> tuple[dict, dict[str, list[Candidate]]]:
    """Let ``model`` answer; the program's result, and the completions of each prompt by its id."""
    sampling: Sampling = work.config.sampling
    engine: Engine = work.config.engine
    prompts_file = work.scratch / "prompts.parquet"
    write_rows(prompts_file, prompts, "example")
    spec = GenerateSpec(
        out_dir=work.out,
        scratch_dir=work.scratch,
        model=model.path("model"),
        engine=engine,
        prompts_file=prompts_file,
        num_samples=num_samples,
        sampling=sampling,
        completions_file=work.scratch / "completions.parquet",
    )
    result = generator.generate(spec, work.needs, work.context)
    rows = read_rows(spec.completions_file)
    return result, candidates_by_id({**row, "id": row["prompt_id"]} for row in rows)
