"""The training room: one factory makes every step's model; a step is data, not code."""

import json
from typing import Any

import dagster as dg

from kt_assets.evaluate.plots import curve_markdown
from kt_assets.plan.steps import require_step_fits
from kt_assets.stage import Made, Stage, Work
from kt_assets.train.shown import answers_table, sample_prompts
from kt_resources.recipes.recipe import Recipe, Step
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows
from kt_resources.trainers.protocol import Trainer
from kt_resources.trainers.spec import TrainSpec
from kt_resources.verifiers import NoVerifier, Verifier

VERSION = "2"
SPEED = ("tokens", "tokens_per_s", "peak_memory_gb", "peaks_gb", "seconds", "device", "precision", "steps")
"""What a training's result says of its speed and memory, shown as metadata; `kt plan` reads it again."""


class StepConfig(Step):
    """A training step with the verifier that rewards it, where its objective needs one."""

    verifier: Verifier = NoVerifier()


def step_config(recipe: Recipe, step: Step) -> StepConfig:
    """The step as the recipe has it; the verifier only where a change of it would change the model."""
    verifier = recipe.verifier if step.objective.needs_verifier else NoVerifier()
    return StepConfig(verifier=verifier, **{name: getattr(step, name) for name in Step.model_fields})


def step_model(stage: Stage) -> dg.AssetsDefinition:
    """A model trained from its start on its data: adapter, merged checkpoint, curves, answers before and after."""

    @dg.asset(**stage.arguments())
    def trained(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], trainer: dg.ResourceParam[Trainer]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: train_step(work, trainer))

    return trained


def train_step(work: Work, trainer: Trainer) -> Made:
    """Train as the config says; the trainer's facts, with curves and sample answers for people."""
    config: StepConfig = work.config
    data = work.inputs["data"]
    validation = read_rows(data.path("validation.parquet"))
    spec = TrainSpec(
        out_dir=work.out,
        scratch_dir=work.scratch,
        name=config.name,
        model_dir=work.inputs["start"].path("model"),
        train_file=data.path("train.parquet"),
        validation_file=data.path("validation.parquet"),
        objective=config.objective,
        update=config.update,
        optimization=config.optimization,
        verifier=config.verifier.model_dump(mode="json"),
        companions={role: work.inputs[role].path("model") for role in config.objective.companions},
        sample_prompts=sample_prompts(validation, config.num_sample_prompts),
    )
    require_step_fits(work, trainer.devices())
    result = trainer.train(spec, work.needs, work.context)
    facts = json.loads((work.out / "facts.json").read_text())
    speed = {name: result[name] for name in SPEED if name in result}
    shown = {
        "curves": curve_markdown(_rows(work, "curve.jsonl")),
        "answers before and after": answers_table(json.loads((work.out / "run" / "samples.json").read_text())),
    }
    return Made.of_program(result, facts | speed, shown)


def _rows(work: Work, name: str) -> list[dict[str, Any]]:
    path = work.out / "run" / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
