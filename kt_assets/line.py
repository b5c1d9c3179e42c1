"""A recipe becomes a model line: its stages, assets, checks, job and schedule."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from kt_assets.checks import contract_checks
from kt_assets.curation.assets import curated_examples, curation_config
from kt_assets.evaluate.assets import evaluation_config, evaluation_report
from kt_assets.merge.assets import merge_config, merged_model
from kt_assets.mix.assets import own_config, own_judgements, prompts_config, rl_prompts, training_mix
from kt_assets.plan.check import memory_check
from kt_assets.quantize.assets import gguf_model, quantize_config
from kt_assets.sources.assets import (
    BaseConfig,
    base_config,
    base_model,
    eval_config,
    eval_tasks,
    raw_config,
    raw_examples,
)
from kt_assets.stage import Stage
from kt_assets.synthetic.assets import (
    labels_config,
    pairs_config,
    preference_labels,
    preference_pairs,
    synthetic_config,
    synthetic_examples,
)
from kt_assets.synthetic.replay import replay_examples
from kt_assets.train.assets import step_config, step_model
from kt_resources.compute.needs import Needs
from kt_resources.contracts.contract import Contract
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.data import REPLAY, SYNTHETIC
from kt_resources.recipes.datasets import OnPolicy, Own
from kt_resources.recipes.recipe import Recipe, Step
from kt_resources.strict import Strict

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

AssetFactory = Callable[[Stage], dg.AssetsDefinition]


@dataclass
class Line:
    """A model line: stages in the order that they can be made in, and what is absent with the reason."""

    recipe: Recipe
    contracts: Mapping[str, Contract]
    folder: Path
    stages: dict[str, Stage] = field(default_factory=dict)
    assets: list[dg.AssetsDefinition] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.recipe.line

    @property
    def checks(self) -> list[dg.AssetChecksDefinition]:
        found = [contract_checks(stage) for stage in self.stages.values()]
        found += [memory_check(stage, self.recipe.base_model) for stage in self.stages.values()]
        return [checks for checks in found if checks is not None]

    @property
    def job_name(self) -> str:
        return f"{self.name}_line"

    @property
    def job(self) -> "UnresolvedAssetJobDefinition":
        """Every asset of the line and its checks, as one job."""
        return dg.define_asset_job(self.job_name, selection=dg.AssetSelection.key_prefixes(self.name))

    @property
    def schedule(self) -> dg.ScheduleDefinition | None:
        """The retraining schedule, off until switched on; None where the recipe asks for none."""
        retrain = self.recipe.retrain
        if retrain is None:
            return None
        return dg.ScheduleDefinition(
            name=f"{self.name}_retrain",
            job_name=self.job_name,
            cron_schedule=retrain.cron,
            execution_timezone=retrain.timezone,
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description=f"Make the line {self.name} again",
        )

    def add(
        self,
        name: str,
        factory: AssetFactory,
        config: Strict,
        parents: Mapping[str, str],
        contract: str | None = None,
        needs: Needs | None = None,
    ) -> None:
        """Add a stage, or note it as absent where a parent is."""
        lacking = [parent for parent in parents.values() if parent in self.absent]
        if lacking:
            self.absent[name] = f"needs {lacking[0]}, which is absent: {self.absent[lacking[0]]}"
            return
        stage = Stage(
            line=self.name,
            name=name,
            room=factory.__module__.split(".")[1],
            version=sys.modules[factory.__module__].VERSION,
            config=config,
            parents={role: self.stages[parent] for role, parent in parents.items()},
            contract=self.contracts[contract] if contract else None,
            needs=needs,
            folder=self.folder,
            description=(factory.__doc__ or "").strip(),
        )
        self.stages[name] = stage
        self.assets.append(factory(stage))


def build_line(recipe: Recipe, contracts: Mapping[str, Contract], folder: Path) -> Line:
    """The line that ``recipe`` describes: data flows from ``base_model`` and ``raw_examples`` to the report.

    Args:
        folder: the recipe's folder, from which its files' paths count.
    """
    line = Line(recipe, contracts, folder)
    _add_data(line)
    for step in recipe.training:
        _add_dataset(line, step.data)
        _add_step(line, step)
    for name in recipe.datasets:
        _add_dataset(line, name)
    _add_merge(line)
    _add_shipping(line)
    return line


def _add_data(line: Line) -> None:
    recipe = line.recipe
    line.add(BASE, base_model, base_config(recipe), {}, "base_model", Needs())
    for name, source in recipe.teachers.items():
        line.add(_model(recipe, name), base_model, BaseConfig(source=source), {}, "base_model", Needs())
    line.add("raw_examples", raw_examples, raw_config(recipe, line.folder), {}, "raw_examples")
    split = {"raw": "raw_examples", "base": BASE} if recipe.held_out_sources else {}
    line.add("eval_tasks", eval_tasks, eval_config(recipe, line.folder), split, "eval_tasks")
    parents = {"raw": "raw_examples", "evaluation": "eval_tasks", "base": BASE}
    line.add("curated_examples", curated_examples, curation_config(recipe), parents, "curated_examples")
    if recipe.data.synthetic is None or not recipe.data.synthetic.enabled:
        line.absent["synthetic_examples"] = "the recipe has no data.synthetic"
    elif recipe.verifier.type == "none":
        line.absent["synthetic_examples"] = "the recipe has no verifier, so generated answers cannot be judged"
    else:
        parents = {"curated": "curated_examples", "evaluation": "eval_tasks"}
        parents["teacher"] = _model(recipe, recipe.data.synthetic.teacher)
        config = synthetic_config(recipe)
        line.add("synthetic_examples", synthetic_examples, config, parents, "synthetic_examples", Needs())
    _add_replay(line)


def _add_replay(line: Line) -> None:
    """The rows against forgetting, where the recipe asks for them: a mend that most lines do without."""
    if line.recipe.data.replay is not None:
        parents = {"base": BASE, "evaluation": "eval_tasks"}
        line.add("replay_examples", replay_examples, line.recipe.data.replay, parents, "replay_examples", Needs())


def _add_dataset(line: Line, name: str) -> None:
    """Add the dataset ``name`` unless it is there: a mix to learn from, judged answers, or prompts."""
    if name in line.stages or name in line.absent:
        return
    recipe, dataset = line.recipe, line.recipe.datasets[name]
    if isinstance(dataset, OnPolicy) and recipe.verifier.type == "none":
        line.absent[name] = "the recipe has no verifier, so the policy's answers cannot be told apart"
    elif dataset.type == "mix":
        parents = {"curated": "curated_examples", "base": BASE}
        if SYNTHETIC in dataset.weights:
            parents["synthetic"] = "synthetic_examples"
        if REPLAY in dataset.weights:
            parents["replay"] = "replay_examples"
        line.add(name, training_mix, dataset, parents, "training_mix")
    elif dataset.type == "on_policy_pairs":
        parents = {"curated": "curated_examples", "policy": _model(recipe, dataset.policy)}
        line.add(name, preference_pairs, pairs_config(recipe, dataset), parents, "preference_pairs", Needs())
    elif dataset.type == "on_policy_labels":
        parents = {"curated": "curated_examples", "policy": _model(recipe, dataset.policy)}
        line.add(name, preference_labels, labels_config(recipe, dataset), parents, "preference_labels", Needs())
    elif isinstance(dataset, Own):
        kind = "preference_pairs" if dataset.type == "pairs" else "preference_labels"
        line.add(name, own_judgements, own_config(recipe, dataset), {"curated": "curated_examples"}, kind)
    else:
        line.add(name, rl_prompts, prompts_config(recipe, dataset), {"curated": "curated_examples"}, "rl_prompts")


def _model(recipe: Recipe, step: str) -> str:
    """The asset that holds the model of ``step``, which may be a teacher."""
    if step in recipe.teachers:
        return f"{step}_model"
    return BASE if step == BASE else recipe.step(step).asset


def _add_step(line: Line, step: Step) -> None:
    if step.objective.needs_verifier and line.recipe.verifier.type == "none":
        line.absent[step.asset] = f"the recipe has no verifier, which the objective {step.objective.type} rewards by"
        return
    parents = {"start": _model(line.recipe, step.start), "data": step.data}
    parents |= {role: _model(line.recipe, name) for role, name in step.objective.companions.items()}
    contract = "reward_model" if step.objective.makes == "reward_model" else "trained_model"
    line.add(step.asset, step_model, step_config(line.recipe, step), parents, contract, step.resources)


def _add_merge(line: Line) -> None:
    merge = line.recipe.merge
    if merge is None:
        line.absent["merged_model"] = "the recipe has no merge"
        return
    models = {name: _model(line.recipe, name) for name in merge.inputs}
    parents = {"base": _model(line.recipe, merge.base), "evaluation": "eval_tasks"} | models
    line.add("merged_model", merged_model, merge_config(line.recipe), parents, "merged_model", merge.resources)


def _add_shipping(line: Line) -> None:
    """The GGUF files and the report on every model of the line."""
    recipe = line.recipe
    calibration = {name: name for name in recipe.mixes_behind_shipped if name in line.stages}
    shipped = {}
    no_model = recipe.adapter_only(recipe.shipped.removesuffix("_model"))
    for name, target in recipe.quantize.assets.items():
        if no_model:
            line.absent[name] = no_model
            continue
        parents = {"model": recipe.shipped, "evaluation": "eval_tasks"} | calibration
        config = quantize_config(recipe, target)
        line.add(name, gguf_model, config, parents, "gguf_model", recipe.quantize.resources)
        shipped[name] = name
    answering = [step.asset for step in recipe.training if step.objective.makes == "language_model"]
    models = [BASE, *answering, "merged_model", *shipped]
    evaluation = evaluation_config(recipe)
    examples = {"curated": "curated_examples"} if evaluation.few_shot.num_examples else {}
    parents = {"evaluation": "eval_tasks"} | examples | {name: name for name in models if name in line.stages}
    line.add("evaluation_report", evaluation_report, evaluation, parents, "evaluation_report", evaluation.resources)
