"""A recipe: what one model line is made of. Sparse YAML for people; this schema fills in the rest."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from kt_resources.compute.needs import Needs
from kt_resources.evaluators.config import Evaluation
from kt_resources.evaluators.gates import FEW_SHOT_BASE, UNTRAINED
from kt_resources.mergers.methods import MergeMethod, problem_with_inputs
from kt_resources.quantizers.config import GgufTarget
from kt_resources.recipes.base_model import BaseModelSource
from kt_resources.recipes.data import (
    REPLAY,
    SYNTHETIC,
    Data,
    Dataset,
    EvalData,
    FileSource,
    OnPolicy,
    Own,
    OwnPairs,
    Purpose,
    generated_tasks,
    shared_seeds,
)
from kt_resources.recipes.held_out import EvalTasks, HeldOut
from kt_resources.strict import Strict
from kt_resources.trainers.objectives import Objective
from kt_resources.trainers.spec import Optimization, problem_of
from kt_resources.trainers.updates import Update
from kt_resources.verifiers import NoVerifier, Verifier

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
BASE = "base_model"
ROWS = {
    "mix": "tokenized",
    "on_policy_pairs": "preference_pairs",
    "on_policy_labels": "labels",
    "pairs": "preference_pairs",
    "labels": "labels",
    "prompts": "prompts",
}
"""What each type of dataset holds; an objective says which of them it learns from."""
FILES = ("file", "jsonl")
"""The types of source that are a person's own files."""

MISFITS = {
    ("preference_pairs", "labels"): "a label says of one answer that it is good or bad, not which of two is better",
}
"""Why rows of the second kind cannot become those of the first, where that is not plain."""


_SCORER = "{!r} makes a reward model, which scores answers and gives none:"


class Problem(NamedTuple):
    """A part of a recipe that refers to what is not there: its path in the recipe, and what is wrong."""

    path: tuple[str | int, ...]
    words: str


class RecipeProblems(ValueError):
    """All problems of a recipe at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {words}" for path, words in problems))


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
        if len(value.split()) != 5:
            raise ValueError("a cron expression has five fields: minute hour day month weekday")
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
        found = [*self._step_problems(), *self._dataset_problems(), *self._merge_problems(), *self._gate_problems()]
        found += [*self._held_out_problems(), *self._adapter_problems()]
        shared = shared_seeds(generated_tasks(self.data, self.eval_tasks))
        if problems := found + [Problem(("eval_tasks",), words) for words in shared]:
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
        last = [step for step in self.training if not self._scores(step.name)][-1]
        return "merged_model" if self.merge else last.asset

    def _step_problems(self) -> Iterable[Problem]:
        known = [BASE]
        for name in self.teachers.keys() & {BASE, "base", *(step.name for step in self.training)}:
            yield Problem(("teachers", name), f"{name!r} is taken; call the teacher otherwise")
        for index, step in enumerate(self.training):
            path = ("training", index)
            if step.name in known:
                yield Problem((*path, "name"), f"two steps have this name: {step.name!r}")
            if step.start not in known:
                there = ", ".join(known)
                yield Problem((*path, "start"), f"start {step.start!r} is no earlier step; there are {there}")
            elif self._scores(step.start):
                yield Problem((*path, "start"), f"{_SCORER.format(step.start)} nothing can start from it")
            models = [*known, *self.teachers]
            for role, name in step.objective.companions.items():
                if name not in models:
                    words = f"{role} {name!r} is no earlier step or teacher; there are {', '.join(models)}"
                    yield Problem((*path, "objective", step.objective.type, role), words)
                elif problem := self._companion_problem(step, role, name):
                    yield Problem((*path, "objective", step.objective.type, role), problem)
            yield from self._step_data_problems((*path, "data"), step, known)
            known.append(step.name)

    def _scores(self, name: str) -> bool:
        """Whether ``name`` is a step that makes a reward model."""
        return any(step.name == name and step.objective.makes == "reward_model" for step in self.training)

    def _companion_problem(self, step: Step, role: str, name: str) -> str | None:
        wants_scorer = step.objective.companion_kinds.get(role) == "reward_model"
        if wants_scorer and not self._scores(name):
            return f"{role} {name!r} is no reward model; name a step whose objective is reward_model"
        if self._scores(name) and not wants_scorer:
            return f"{_SCORER.format(name)} it cannot be the {role}"
        return None

    def _step_data_problems(self, path: tuple[str | int, ...], step: Step, known: Sequence[str]) -> Iterable[Problem]:
        dataset = self.datasets.get(step.data)
        if dataset is None:
            yield Problem(path, f"data {step.data!r} is no dataset; there are {', '.join(self.datasets)}")
        elif ROWS[dataset.type] not in (step.objective.rows, *step.objective.also_fits):
            has, wants = ROWS[dataset.type], step.objective.rows
            words = f"objective {step.objective.type} learns from {wants}, {step.data} holds {has}"
            yield Problem(path, "; ".join([words, *filter(None, [MISFITS.get((wants, has))])]))
        elif isinstance(dataset, OnPolicy) and dataset.policy not in known:
            yield Problem(path, f"its answers are sampled from {dataset.policy!r}, which is no earlier step")
        elif isinstance(dataset, OnPolicy) and self._scores(dataset.policy):
            yield Problem(path, f"{_SCORER.format(dataset.policy)} no answers can be sampled from it")

    def _dataset_problems(self) -> Iterable[Problem]:
        synthetic, answering = self.data.synthetic, [BASE, *self.teachers]
        if synthetic is not None and synthetic.teacher not in answering:
            words = f"{synthetic.teacher!r} is no teacher; there are {', '.join(answering)}"
            yield Problem(("data", "synthetic", "teacher"), words)
        steps, sources = {step.name for step in self.training}, {source.name for source in self.data.sources}
        for name, dataset in self.datasets.items():
            for source in source_names(dataset):
                if source not in sources | {SYNTHETIC, REPLAY}:
                    words = f"{source!r} is no source; there are {', '.join(sorted(sources | {SYNTHETIC}))}"
                    yield Problem(("datasets", name), words)
                elif source == REPLAY and self.data.replay is None:
                    yield Problem(
                        ("datasets", name), "it weighs replay, but there is no data.replay: write `replay: {}` there"
                    )
            if isinstance(dataset, Own):
                yield from self._own_problems(name, dataset)
            if isinstance(dataset, OnPolicy) and dataset.policy not in steps | {BASE}:
                words = f"policy {dataset.policy!r} is no step; there are {', '.join(sorted(steps))}"
                yield Problem(("datasets", name, "policy"), words)

    def _own_problems(self, name: str, dataset: Own) -> Iterable[Problem]:
        """A person's judgements stand in files of purpose ``preference``."""
        files = [s.name for s in self.data.sources if isinstance(s, FileSource) and s.purpose == "preference"]
        formats = {s.name: s.format for s in self.data.sources if isinstance(s, FileSource)}
        there = ", ".join(files) or "none"
        if not files and not dataset.sources:
            yield Problem(("datasets", name), "there is no file of purpose preference to take its rows from")
        for source in dataset.sources or ():
            if source not in files:
                words = f"{source!r} is no file of purpose preference; of those there are: {there}"
                yield Problem(("datasets", name, "sources"), words)
            elif isinstance(dataset, OwnPairs) and formats[source] not in ("preference", "auto"):
                words = f"{source!r} is of format {formats[source]}; pairs stand in the format preference"
                yield Problem(("datasets", name, "sources"), words)

    def _held_out_problems(self) -> Iterable[Problem]:
        sources = [source.name for source in self.data.sources]
        for name in (self.eval_tasks.sources or ()) if isinstance(self.eval_tasks, HeldOut) else ():
            if name not in sources:
                yield Problem(("eval_tasks", "sources"), f"{name!r} is no source; there are {', '.join(sources)}")

    def _merge_problems(self) -> Iterable[Problem]:
        names = {step.name for step in self.training}
        for name in self.merge.inputs if self.merge else ():
            if name not in names:
                yield Problem(("merge", "inputs"), f"{name!r} is no step; there are {', '.join(sorted(names))}")
            elif self._scores(name):
                yield Problem(("merge", "inputs"), f"{_SCORER.format(name)} it cannot be merged with others")
            elif self.merge and self.merge.base not in (ancestors := self._ancestors(name)):
                words = f"{self.merge.base!r} is no ancestor of {name!r}; it comes from {', '.join(ancestors)}"
                yield Problem(("merge", "base"), words)
        if self.quantize.input and self._scores(self.quantize.input):
            yield Problem(("quantize", "input"), f"{_SCORER.format(self.quantize.input)} it cannot be exported to GGUF")
        if all(self._scores(name) for name in names):
            yield Problem(("training",), "every step makes a reward model, and nothing is left to ship")
        if self.quantize.input and self.quantize.input not in names | {"merged"}:
            words = f"{self.quantize.input!r} is no step; there are {', '.join(sorted(names))}, merged"
            yield Problem(("quantize", "input"), words)

    def adapter_only(self, name: str) -> str | None:
        """Why there is no model of the step ``name``; None where there is one."""
        update = next((step.update for step in self.training if step.name == name), None)
        if update is None or update.mergeable:
            return None
        return f"{name!r} leaves an adapter only: {update.type} cannot be merged into a model's weights"

    def _adapter_problems(self) -> Iterable[Problem]:
        """Whatever would read a model where there is an adapter only."""
        uses: list[tuple[tuple[str | int, ...], str]] = [
            (("training", index, "start"), step.start) for index, step in enumerate(self.training)
        ]
        uses += [
            (("training", index, "objective", step.objective.type, role), name)
            for index, step in enumerate(self.training)
            for role, name in step.objective.companions.items()
        ]
        uses += [
            (("datasets", name, "policy"), dataset.policy)
            for name, dataset in self.datasets.items()
            if isinstance(dataset, OnPolicy)
        ]
        uses += [(("merge", "inputs"), name) for name in (self.merge.inputs if self.merge else ())]
        if self.quantize.input:
            uses.append((("quantize", "input"), self.quantize.input))
        elif self.merge is None and "quantize" in self.model_fields_set:
            uses.append((("quantize",), self.training[-1].name))
        for path, name in uses:
            if words := self.adapter_only(name):
                yield Problem(path, words)

    def _ancestors(self, name: str) -> list[str]:
        """What ``name`` was trained from, nearest first, ``base_model`` last; a start that is no step ends it."""
        starts, found = {step.name: step.start for step in self.training}, [name]
        while found[-1] in starts and starts[found[-1]] not in found:
            found.append(starts[found[-1]])
        return found[1:]

    def _gate_problems(self) -> Iterable[Problem]:
        answering = [step for step in self.training if not self._scores(step.name)]
        assets = [BASE, *(step.asset for step in answering), "merged_model", *self.quantize.assets]
        untrained = set(UNTRAINED) if self.evaluate.few_shot.num_examples else {*UNTRAINED} - {FEW_SHOT_BASE}
        known = {*assets, *(step.name for step in answering), *untrained}
        for index, gate in enumerate(self.evaluate.gates):
            for field in ("model", "baseline"):
                value = getattr(gate, field)
                if value is not None and value not in known:
                    there = assets if field == "model" else [*assets, *sorted(untrained)]
                    words = f"{value!r} is no model of the line; there are {', '.join(there)}"
                    yield Problem(("evaluate", "gates", index, field), words)


def source_names(dataset: Dataset) -> tuple[str, ...]:
    """The sources that ``dataset`` names; none where it takes every source of its purpose."""
    return tuple(dataset.weights) if dataset.type == "mix" else tuple(dataset.sources or ())
