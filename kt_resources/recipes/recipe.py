"""A recipe: what one model line is made of. Sparse YAML for people; this schema fills in the rest."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from kt_resources.compute.needs import Needs
from kt_resources.evaluators.config import Evaluation
from kt_resources.mergers.methods import MergeMethod, problem_with_inputs
from kt_resources.quantizers.config import GgufTarget
from kt_resources.recipes.base_model import BASE, BaseModelSource
from kt_resources.recipes.data import REPLAY, SYNTHETIC, Data, EvalData, Purpose
from kt_resources.recipes.datasets import Dataset, Mix
from kt_resources.recipes.held_out import EvalTasks, HeldOut
from kt_resources.recipes.problems import RecipeProblems, find_problems
from kt_resources.strict import Strict
from kt_resources.trainers.objectives import Objective
from kt_resources.trainers.spec import Optimization, problem_of
from kt_resources.trainers.updates import Update
from kt_resources.verifiers import NoVerifier, Verifier

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
FILES = ("file", "jsonl")
"""The types of source that are a person's own files."""


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

    @model_validator(mode="after")
    def _can_learn(self) -> "Step":
        sharded = self.resources.sharding == "fsdp"
        if problem := problem_of(self.objective, self.update, self.optimization, sharded):
            raise ValueError(problem)
        return self

    @property
    def asset(self) -> str:
        return f"{self.name}_model"


class Merge(Strict):
    """Compose the models of several steps that share an ancestor.

    A recipe writes the method's own options beside its name: ``{method: ties, inputs: [a, b], density: 0.6}``.

    Attributes:
        base: the ancestor from which task vectors count: ``base_model``, or the step that the inputs branched from.
            What they share is then kept whole, and only what each learned since is trimmed and added.
    """

    inputs: tuple[Name, ...] = Field(min_length=2)
    base: Name = BASE
    method: MergeMethod
    num_probes: int = Field(default=6, ge=1, description="held-out prompts that the merged model is asked")
    resources: Needs = Needs()

    @model_validator(mode="before")
    @classmethod
    def _options_beside_the_name(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("method"), str):
            return value
        own = {key: item for key, item in value.items() if key in cls.model_fields}
        options = {key: item for key, item in value.items() if key not in cls.model_fields}
        return own | {"method": {"method": value["method"], **options}}

    @model_validator(mode="after")
    def _method_takes_these_inputs(self) -> "Merge":
        if problem := problem_with_inputs(self.method, self.inputs):
            raise ValueError(problem)
        return self


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
        import dagster as dg

        if len(value.split()) != 5:
            raise ValueError("a cron expression has five fields: minute hour day month weekday")
        try:
            dg.ScheduleDefinition(name="retrain", job_name="line", cron_schedule=value)
        except dg.DagsterInvalidDefinitionError as error:
            raise ValueError(f"{value!r} is no time: minute hour day month weekday, as in '0 3 * * 1'") from error
        return value

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no timezone; give one like UTC or Europe/Berlin") from error
        return value


class Recipe(Strict):
    """A model line."""

    line: Name
    description: str = ""
    base_model: BaseModelSource
    teachers: dict[Name, BaseModelSource] = {}
    verifier: Verifier = NoVerifier()
    data: Data
    eval_tasks: EvalTasks = EvalData()
    datasets: dict[Name, Dataset]
    training: tuple[Step, ...] = Field(min_length=1)
    merge: Merge | None = None
    quantize: Quantize = Quantize()
    evaluate: Evaluation = Evaluation()
    retrain: Retrain | None = None

    @model_validator(mode="before")
    @classmethod
    def _own_rows_are_held_out(cls, value: Any) -> Any:
        """Without ``eval_tasks``, a line whose sources are all files is evaluated on a split of them."""
        sources = (
            (value.get("data") or {}).get("sources") if isinstance(value, dict) and "eval_tasks" not in value else 0
        )
        files = isinstance(sources, list) and all(isinstance(s, dict) and s.get("type") in FILES for s in sources)
        return value | {"eval_tasks": {"type": "held_out"}} if files else value

    @model_validator(mode="after")
    def _refers_to_what_is_there(self) -> "Recipe":
        if problems := find_problems(self):
            raise RecipeProblems(problems)
        return self

    def step(self, name: str) -> Step:
        """The step of that name; KeyError where there is none."""
        return {step.name: step for step in self.training}[name]

    def sources_for(self, purpose: Purpose) -> tuple[str, ...]:
        """The names of the sources that serve ``purpose``."""
        return tuple(source.name for source in self.data.sources if source.purpose == purpose)

    @property
    def held_out_sources(self) -> tuple[str, ...]:
        """The sources whose rows are split for evaluation; none where it has items of its own."""
        if not isinstance(self.eval_tasks, HeldOut):
            return ()
        named = tuple(self.eval_tasks.sources or ()) or self.sources_for("train")
        return named or tuple(source.name for source in self.data.sources)

    @property
    def system(self) -> str | None:
        """The system message that the line is evaluated with."""
        if not isinstance(self.eval_tasks, HeldOut):
            return self.eval_tasks.system
        sources = {source.name: source for source in self.data.sources}
        return next((sources[name].system for name in self.held_out_sources if name in sources), None)

    @property
    def shipped(self) -> str:
        """The asset that is quantized and shipped."""
        if self.quantize.input:
            return "merged_model" if self.quantize.input == "merged" else self.step(self.quantize.input).asset
        last = [step for step in self.training if not self.makes_scorer(step.name)][-1]
        return "merged_model" if self.merge else last.asset

    @property
    def mixes_behind_shipped(self) -> tuple[str, ...]:
        """The mixes that the shipped model's steps learned from, in the order of the datasets."""
        ends = (
            self.merge.inputs
            if self.merge and self.shipped == "merged_model"
            else [self.shipped.removesuffix("_model")]
        )
        steps = {name for end in ends for name in (end, *self.ancestors(end))}
        used = {step.data for step in self.training if step.name in steps}
        return tuple(name for name, dataset in self.datasets.items() if dataset.type == "mix" and name in used)

    def longest_row(self, mix: Mix) -> int:
        """Tokens that a row of ``mix`` may have: its limit, or curation's where all stem from sources."""
        written = {SYNTHETIC, REPLAY} & mix.weights.keys()
        return mix.max_seq_len if written else min(mix.max_seq_len, self.data.curation.max_tokens)

    def makes_scorer(self, name: str) -> bool:
        """Whether ``name`` is a step that makes a reward model."""
        return any(step.name == name and step.objective.makes == "reward_model" for step in self.training)

    def ancestors(self, name: str) -> list[str]:
        """What ``name`` was trained from, nearest first, ``base_model`` last; a start that is no step ends it."""
        starts, found = {step.name: step.start for step in self.training}, [name]
        while found[-1] in starts and starts[found[-1]] not in found:
            found.append(starts[found[-1]])
        return found[1:]

    def adapter_only(self, name: str) -> str | None:
        """Why there is no model of the step ``name``; None where there is one."""
        update = next((step.update for step in self.training if step.name == name), None)
        if update is None or update.mergeable:
            return None
        return f"{name!r} leaves an adapter only: {update.type} cannot be merged into a model's weights"
