"""The evaluation room: every model of the line on the same held-out prompts, and a report that a person opens."""

import json
from pathlib import Path

import dagster as dg

from kt_assets.evaluate.collect import report_data
from kt_assets.evaluate.examples import choose_examples
from kt_assets.evaluate.report import render_report
from kt_assets.stage import Made, Stage, Work
from kt_resources.compute.program import write_json
from kt_resources.evaluators.config import Evaluation
from kt_resources.evaluators.known import KEPT
from kt_resources.evaluators.protocol import Evaluator
from kt_resources.evaluators.results import read_results
from kt_resources.evaluators.spec import EvaluatedModel, EvaluateSpec, Example
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows

VERSION = "3"
CURATED = "curated"
NO_MODELS = ("evaluation", CURATED)
"""The roles of parents that hold no model."""


class EvaluationConfig(Evaluation):
    """The evaluation, with the sources that its worked examples may come from."""

    train_sources: tuple[str, ...] = ()


def evaluation_config(recipe: Recipe) -> EvaluationConfig:
    """The recipe's evaluation; without a verifier, how likely the held-out answers are is measured besides."""
    options = dict(recipe.evaluate)
    if options["answer_perplexity"] is None:
        options["answer_perplexity"] = recipe.verifier.type == "none"
    return EvaluationConfig(train_sources=recipe.sources_for("train"), **options)


def evaluation_report(stage: Stage) -> dg.AssetsDefinition:
    """Accuracy and perplexity of every model with intervals, the gates, and a self-contained HTML report."""

    @dg.asset(**stage.arguments())
    def evaluated(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], evaluator: dg.ResourceParam[Evaluator]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: evaluate_models(work, evaluator, store))

    return evaluated


def evaluate_models(work: Work, evaluator: Evaluator, store: Store) -> Made:
    """Evaluate, then write ``report.html`` from the results and from what the store knows of every parent."""
    tasks = work.inputs["evaluation"]
    spec = EvaluateSpec(
        out_dir=work.out,
        scratch_dir=work.scratch,
        models=evaluated_models(work, store),
        tasks_dir=tasks.path("tasks"),
        general_text=tasks.path("general_text.txt"),
        ability_dir=tasks.path("general_ability"),
        known_dir=known_evaluations(work, store),
        examples=worked_examples(work),
        config=Evaluation(**{name: getattr(work.config, name) for name in Evaluation.model_fields}),
    )
    result = evaluator.evaluate(spec, work.needs, work.context)
    results = read_results(work.out)
    page = render_report(report_data(work.stage, store, work.out))
    (work.out / "run" / "report.html").write_text(page, encoding="utf-8")
    facts = json.loads((work.out / "facts.json").read_text()) | {"page_version": VERSION}
    write_json(work.out / "facts.json", facts)  # so that the same results with another page are another artifact
    return Made.of_program(result, facts, {"models": models_table(results["models"])})


def known_evaluations(work: Work, store: Store) -> Path | None:
    """What the last report kept, so that an unchanged model is not asked again; None where all is to be made anew."""
    last = store.current(work.stage.asset)
    return last.folder / KEPT if last and (last.folder / KEPT).is_dir() and not work.options.rebuild else None


def evaluated_models(work: Work, store: Store) -> tuple[EvaluatedModel, ...]:
    """Every parent that holds a model, the base first; a GGUF is asked with the base model's tokenizer.

    An adapter that could not be merged is asked on the very version of its start that it was trained on.
    """
    base = work.inputs[BASE]
    found = []
    for name, artifact in work.inputs.items():
        if name in NO_MODELS:
            continue
        gguf = (artifact.folder / "model.gguf").exists()
        alone = bool(artifact.manifest.facts.get("adapter_only"))
        folder = store.parent(artifact, "start").path("model") if alone else (base if gguf else artifact).path("model")
        found.append(
            EvaluatedModel(
                asset=name,
                step=name.removesuffix("_model"),
                data_version=artifact.data_version,
                path=artifact.path("model.gguf") if gguf else folder,
                tokenizer_dir=folder,
                adapter_dir=artifact.path("adapter") if alone else None,
                made_from=tuple(parent.name for parent in work.stage.parents[name].parents.values()),
            )
        )
    return tuple(found)


def worked_examples(work: Work) -> dict[str, tuple[Example, ...]]:
    """What the base model is asked after, by task; nothing where the recipe or the training rows give none."""
    if CURATED not in work.inputs:
        return {}
    config: EvaluationConfig = work.config
    tasks = [folder.name for folder in sorted(work.inputs["evaluation"].path("tasks").iterdir())]
    rows = read_rows(work.inputs[CURATED].path("examples.parquet"))
    usable = [row for row in rows if row["source"] in config.train_sources]
    return choose_examples(usable, tasks, config.few_shot)


def models_table(models: list[dict]) -> str:
    """A markdown table: a row a model, a column a metric, with the 95 % interval."""
    names = list(dict.fromkeys(name for model in models for name in model["metrics"]))
    lines = ["| model | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for model in models:
        cells = [_interval(model["metrics"].get(name)) for name in names]
        lines.append(f"| {model['asset']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(metric: dict | None) -> str:
    if metric is None:
        return ""
    return f"{metric['value']:.3g} ({metric['low']:.3g} to {metric['high']:.3g})"
