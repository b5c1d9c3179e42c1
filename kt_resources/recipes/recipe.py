"""A recipe: what one model line is made of. Sparse YAML for people; this schema fills in the rest."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from kt_resources.compute.needs import Needs
from kt_resources.evaluators.config import Evaluation
from kt_resources.mergers.methods import MergeMethod
from kt_resources.quantizers.config import GgufTarget
from kt_resources.recipes.base_model import BaseModelSource
from kt_resources.recipes.data import SYNTHETIC, Data, Dataset, EvalData, OnPolicyPairs, generated_tasks, shared_seeds
from kt_resources.strict import Strict
from kt_resources.trainers.objectives import Objective
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import Update
from kt_resources.verifiers import NoVerifier, Verifier

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
BASE = "base_model"
ROWS = {"mix": "tokenized", "on_policy_pairs": "preference_pairs", "prompts": "prompts"}
"""What each type of dataset holds; an objective says which of them it learns from."""


class Step(Strict):
    """One training step: where it starts, what it learns from, what it learns, how its weights change.

    Attributes:
        start: ``base_model`` or the name of an earlier step.
        data: the name of a dataset of the recipe.
    """

    name: Name
    start: Name = BASE
    data: Name
    objective: Objective
    update: Update
    optimization: Optimization = Optimization()
    num_sample_prompts: int = Field(default=4, ge=0, le=32, description="held-out prompts answered before and after")
    resources: Needs = Needs()

    @property
    def asset(self) -> str:
        return f"{self.name}_model"


class Merge(Strict):
    """Compose the models of several steps that share the base model."""

    inputs: tuple[Name, ...] = Field(min_length=2)
    method: MergeMethod
    resources: Needs = Needs()


class Quantize(Strict):
    """What the shipped model becomes; ``input`` is the merged model, or the last step where nothing merges."""

    targets: tuple[GgufTarget, ...] = Field(default=(GgufTarget(),), min_length=1)
    input: Name | None = None
    resources: Needs = Needs()

    @property
    def assets(self) -> dict[str, GgufTarget]:
        """Asset name → target: the first is ``gguf_model``, each further one carries its quant type."""
        first, *further = self.targets
        return {"gguf_model": first} | {f"gguf_{target.quant.lower()}_model": target for target in further}


class Retrain(Strict):
    """When the line is made again; the schedule is off until switched on."""

    cron: str
    timezone: str = "UTC"

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError("a cron expression has five fields: minute hour day month weekday")
        return value


class Recipe(Strict):
    """A model line."""

    line: Name
    description: str = ""
    base_model: BaseModelSource
    verifier: Verifier = NoVerifier()
    data: Data
    eval_tasks: EvalData = EvalData()
    datasets: dict[Name, Dataset]
    training: tuple[Step, ...] = Field(min_length=1)
    merge: Merge | None = None
    quantize: Quantize = Quantize()
    evaluate: Evaluation = Evaluation()
    retrain: Retrain | None = None

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> "Recipe":
        problems = [*self._step_problems(), *self._dataset_problems(), *self._merge_problems()]
        problems += shared_seeds(generated_tasks(self.data, self.eval_tasks))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def step(self, name: str) -> Step:
        """The step of that name; KeyError where there is none."""
        return {step.name: step for step in self.training}[name]

    @property
    def shipped(self) -> str:
        """The asset that is quantized and shipped."""
        if self.quantize.input:
            return "merged_model" if self.quantize.input == "merged" else self.step(self.quantize.input).asset
        return "merged_model" if self.merge else self.training[-1].asset

    def _step_problems(self) -> Iterable[str]:
        known = [BASE]
        for index, step in enumerate(self.training):
            place = f"training[{index}] ({step.name})"
            if step.name in known:
                yield f"{place}: two steps have this name"
            if step.start not in known:
                yield f"{place}: start {step.start!r} is no earlier step; there are {', '.join(known)}"
            dataset = self.datasets.get(step.data)
            if dataset is None:
                yield f"{place}: data {step.data!r} is no dataset; there are {', '.join(self.datasets)}"
            elif ROWS[dataset.type] != step.objective.rows:
                has, wants = ROWS[dataset.type], step.objective.rows
                yield f"{place}: objective {step.objective.type} learns from {wants}, {step.data} holds {has}"
            elif isinstance(dataset, OnPolicyPairs) and dataset.policy not in known:
                yield f"{place}: its data are sampled from {dataset.policy!r}, which is no earlier step"
            known.append(step.name)

    def _dataset_problems(self) -> Iterable[str]:
        steps, sources = {step.name for step in self.training}, {source.name for source in self.data.sources}
        for name, dataset in self.datasets.items():
            for source in source_names(dataset):
                if source not in sources | {SYNTHETIC}:
                    yield f"datasets.{name}: {source!r} is no source; there are {', '.join(sorted(sources))}"
            if isinstance(dataset, OnPolicyPairs) and dataset.policy not in steps | {BASE}:
                yield f"datasets.{name}: policy {dataset.policy!r} is no step; there are {', '.join(sorted(steps))}"

    def _merge_problems(self) -> Iterable[str]:
        names = {step.name for step in self.training}
        for name in self.merge.inputs if self.merge else ():
            if name not in names:
                yield f"merge.inputs: {name!r} is no step; there are {', '.join(sorted(names))}"
        if self.quantize.input and self.quantize.input not in names | {"merged"}:
            yield f"quantize.input: {self.quantize.input!r} is no step; there are {', '.join(sorted(names))}, merged"


def source_names(dataset: Dataset) -> tuple[str, ...]:
    """The sources that ``dataset`` names; none where it takes every source of its purpose."""
    return tuple(dataset.weights) if dataset.type == "mix" else tuple(dataset.sources or ())
