"""What a recipe's parts say of one another: names that are not there, data that does not fit, models that give none."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kt_resources.evaluators.config import BY_FAMILY, Gate
from kt_resources.evaluators.gates import FEW_SHOT_BASE, UNTRAINED
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.data import REPLAY, SYNTHETIC, EvalData, FileSource, generated_tasks, shared_seeds
from kt_resources.recipes.datasets import Dataset, Mix, OnPolicy, Own, OwnPairs
from kt_resources.recipes.held_out import HeldOut

if TYPE_CHECKING:
    from kt_resources.recipes.recipe import Recipe, Step

ROWS = {
    "mix": "tokenized",
    "on_policy_pairs": "preference_pairs",
    "on_policy_labels": "labels",
    "pairs": "preference_pairs",
    "labels": "labels",
    "prompts": "prompts",
}
"""What each type of dataset holds; an objective says which of them it learns from."""
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


def find_problems(recipe: "Recipe") -> list[Problem]:
    """All problems at once, in the order of the recipe's sections."""
    found = [*_step_problems(recipe), *_dataset_problems(recipe), *_merge_problems(recipe), *_gate_problems(recipe)]
    found += [*_evaluated_problems(recipe), *_held_out_problems(recipe), *_adapter_problems(recipe)]
    found += _name_problems(recipe)
    shared = shared_seeds(generated_tasks(recipe.data, recipe.eval_tasks))
    return found + [Problem(("eval_tasks",), words) for words in shared]


OF_EVERY_LINE = (
    BASE,
    "raw_examples",
    "eval_tasks",
    "curated_examples",
    "synthetic_examples",
    "replay_examples",
    "merged_model",
    "evaluation_report",
)
"""Assets that are called so in any line that has them."""


def _name_problems(recipe: "Recipe") -> Iterable[Problem]:
    """Two assets of one name."""
    taken = {*OF_EVERY_LINE, *recipe.quantize.assets}
    for name in recipe.teachers:
        if f"{name}_model" in taken - {BASE}:
            yield Problem(("teachers", name), f"the asset {name}_model is another; call the teacher otherwise")
    taken |= {f"{name}_model" for name in recipe.teachers}
    for name in recipe.datasets:
        if name in taken:
            yield Problem(("datasets", name), f"the asset {name} is another; call the dataset otherwise")
    taken |= recipe.datasets.keys()
    for index, step in enumerate(recipe.training):
        if step.asset in taken and step.name not in recipe.teachers:
            yield Problem(("training", index, "name"), f"the asset {step.asset} is another; call the step otherwise")
    if len(recipe.quantize.assets) < len(recipe.quantize.targets):
        words = "two targets beside the first have one quant type, and a further asset is called by its quant type"
        yield Problem(("quantize", "targets"), words)


def _step_problems(recipe: "Recipe") -> Iterable[Problem]:
    known = [BASE]
    for name in recipe.teachers.keys() & {BASE, "base", *(step.name for step in recipe.training)}:
        yield Problem(("teachers", name), f"{name!r} is taken; call the teacher otherwise")
    for index, step in enumerate(recipe.training):
        path = ("training", index)
        if step.name in known:
            yield Problem((*path, "name"), f"two steps have this name: {step.name!r}")
        if step.start not in known:
            there = ", ".join(known)
            yield Problem((*path, "start"), f"start {step.start!r} is no earlier step; there are {there}")
        elif recipe.makes_scorer(step.start):
            yield Problem((*path, "start"), f"{_SCORER.format(step.start)} nothing can start from it")
        models = [*known, *recipe.teachers]
        for role, name in step.objective.companions.items():
            if name not in models:
                words = f"{role} {name!r} is no earlier step or teacher; there are {', '.join(models)}"
                yield Problem((*path, "objective", step.objective.type, role), words)
            elif problem := _companion_problem(recipe, step, role, name):
                yield Problem((*path, "objective", step.objective.type, role), problem)
        yield from _step_data_problems(recipe, (*path, "data"), step, known)
        yield from _length_problems(recipe, path, step)
        known.append(step.name)


def _companion_problem(recipe: "Recipe", step: "Step", role: str, name: str) -> str | None:
    wants_scorer = step.objective.companion_kinds.get(role) == "reward_model"
    if wants_scorer and not recipe.makes_scorer(name):
        return f"{role} {name!r} is no reward model; name a step whose objective is reward_model"
    if recipe.makes_scorer(name) and not wants_scorer:
        return f"{_SCORER.format(name)} it cannot be the {role}"
    return None


def _step_data_problems(
    recipe: "Recipe", path: tuple[str | int, ...], step: "Step", known: Sequence[str]
) -> Iterable[Problem]:
    dataset = recipe.datasets.get(step.data)
    if dataset is None:
        yield Problem(path, f"data {step.data!r} is no dataset; there are {', '.join(recipe.datasets)}")
    elif ROWS[dataset.type] not in (step.objective.rows, *step.objective.also_fits):
        has, wants = ROWS[dataset.type], step.objective.rows
        words = f"objective {step.objective.type} learns from {wants}, {step.data} holds {has}"
        yield Problem(path, "; ".join([words, *filter(None, [MISFITS.get((wants, has))])]))
    elif isinstance(dataset, OnPolicy) and dataset.policy not in known:
        yield Problem(path, f"its answers are sampled from {dataset.policy!r}, which is no earlier step")
    elif isinstance(dataset, OnPolicy) and recipe.makes_scorer(dataset.policy):
        yield Problem(path, f"{_SCORER.format(dataset.policy)} no answers can be sampled from it")


def _length_problems(recipe: "Recipe", path: tuple[str | int, ...], step: "Step") -> Iterable[Problem]:
    """A mix may hold rows that the step that learns from it does not take."""
    dataset, taken = recipe.datasets.get(step.data), step.optimization.max_seq_len
    if isinstance(dataset, Mix) and (longest := recipe.longest_row(dataset)) > taken:
        words = f"rows of {step.data} may have {longest} tokens, this step takes {taken}"
        mend = f"raise it, or lower max_seq_len in datasets.{step.data}, which drops longer rows"
        yield Problem((*path, "optimization", "max_seq_len"), f"{words}: {mend}")


def _dataset_problems(recipe: "Recipe") -> Iterable[Problem]:
    synthetic, answering = recipe.data.synthetic, [BASE, *recipe.teachers]
    if synthetic is not None and synthetic.teacher not in answering:
        words = f"{synthetic.teacher!r} is no teacher; there are {', '.join(answering)}"
        yield Problem(("data", "synthetic", "teacher"), words)
    steps, sources = {step.name for step in recipe.training}, {source.name for source in recipe.data.sources}
    for name, dataset in recipe.datasets.items():
        for source in source_names(dataset):
            if source not in sources | {SYNTHETIC, REPLAY}:
                words = f"{source!r} is no source; there are {', '.join(sorted(sources | {SYNTHETIC}))}"
                yield Problem(("datasets", name), words)
            elif source == REPLAY and recipe.data.replay is None:
                yield Problem(
                    ("datasets", name), "it weighs replay, but there is no data.replay: write `replay: {}` there"
                )
        if isinstance(dataset, Own):
            yield from _own_problems(recipe, name, dataset)
        if isinstance(dataset, OnPolicy) and dataset.policy not in steps | {BASE}:
            words = f"policy {dataset.policy!r} is no step; there are {', '.join(sorted(steps))}"
            yield Problem(("datasets", name, "policy"), words)


def _own_problems(recipe: "Recipe", name: str, dataset: Own) -> Iterable[Problem]:
    """A person's judgements stand in files of purpose ``preference``."""
    files = [s.name for s in recipe.data.sources if isinstance(s, FileSource) and s.purpose == "preference"]
    formats = {s.name: s.format for s in recipe.data.sources if isinstance(s, FileSource)}
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


def _held_out_problems(recipe: "Recipe") -> Iterable[Problem]:
    sources = [source.name for source in recipe.data.sources]
    for name in (recipe.eval_tasks.sources or ()) if isinstance(recipe.eval_tasks, HeldOut) else ():
        if name not in sources:
            yield Problem(("eval_tasks", "sources"), f"{name!r} is no source; there are {', '.join(sources)}")


def _merge_problems(recipe: "Recipe") -> Iterable[Problem]:
    names = {step.name for step in recipe.training}
    for name in recipe.merge.inputs if recipe.merge else ():
        if name not in names:
            yield Problem(("merge", "inputs"), f"{name!r} is no step; there are {', '.join(sorted(names))}")
        elif recipe.makes_scorer(name):
            yield Problem(("merge", "inputs"), f"{_SCORER.format(name)} it cannot be merged with others")
        elif recipe.merge and recipe.merge.base not in (ancestors := recipe.ancestors(name)):
            words = f"{recipe.merge.base!r} is no ancestor of {name!r}; it comes from {', '.join(ancestors)}"
            yield Problem(("merge", "base"), words)
    if recipe.quantize.input and recipe.makes_scorer(recipe.quantize.input):
        yield Problem(("quantize", "input"), f"{_SCORER.format(recipe.quantize.input)} it cannot be exported to GGUF")
    if all(recipe.makes_scorer(name) for name in names):
        yield Problem(("training",), "every step makes a reward model, and nothing is left to ship")
    if recipe.quantize.input and recipe.quantize.input not in names | {"merged"}:
        words = f"{recipe.quantize.input!r} is no step; there are {', '.join(sorted(names))}, merged"
        yield Problem(("quantize", "input"), words)


def _adapter_problems(recipe: "Recipe") -> Iterable[Problem]:
    """Whatever would read a model where there is an adapter only."""
    uses: list[tuple[tuple[str | int, ...], str]] = [
        (("training", index, "start"), step.start) for index, step in enumerate(recipe.training)
    ]
    uses += [
        (("training", index, "objective", step.objective.type, role), name)
        for index, step in enumerate(recipe.training)
        for role, name in step.objective.companions.items()
    ]
    uses += [
        (("datasets", name, "policy"), dataset.policy)
        for name, dataset in recipe.datasets.items()
        if isinstance(dataset, OnPolicy)
    ]
    uses += [(("merge", "inputs"), name) for name in (recipe.merge.inputs if recipe.merge else ())]
    if recipe.quantize.input:
        uses.append((("quantize", "input"), recipe.quantize.input))
    elif recipe.merge is None and "quantize" in recipe.model_fields_set:
        uses.append((("quantize",), recipe.training[-1].name))
    for path, name in uses:
        if words := recipe.adapter_only(name):
            yield Problem(path, words)


def _gate_problems(recipe: "Recipe") -> Iterable[Problem]:
    answering = [step for step in recipe.training if not recipe.makes_scorer(step.name)]
    merged = ["merged_model"] if recipe.merge else []
    assets = [BASE, *(step.asset for step in answering), *merged, *recipe.quantize.assets]
    untrained = set(UNTRAINED) if recipe.evaluate.few_shot.num_examples else {*UNTRAINED} - {FEW_SHOT_BASE}
    known = {*assets, *(step.name for step in answering), *untrained}
    for index, gate in enumerate(recipe.evaluate.gates):
        for field in ("model", "baseline"):
            value = getattr(gate, field)
            if value is not None and value not in known:
                there = assets if field == "model" else [*assets, *sorted(untrained)]
                words = f"{value!r} is no model of the line; there are {', '.join(there)}"
                yield Problem(("evaluate", "gates", index, field), words)
        if (problem := _metric_problem(recipe, gate)) is not None:
            yield Problem(("evaluate", "gates", index, "metric"), problem)


def _metric_problem(recipe: "Recipe", gate: Gate) -> str | None:
    """Why a gate's metric will not be there when it is judged."""
    name, _, family = gate.metric.partition("/")
    if family and (words := _family_problem(recipe, family)):
        return words
    if switch := recipe.evaluate.switched_off.get(name):
        return f"{name} is not measured: {switch} switches it off"
    if gate.baseline in UNTRAINED and name not in BY_FAMILY:
        return f"{gate.baseline} has no {name}; compare with {BASE}"
    return None


def _family_problem(recipe: "Recipe", family: str) -> str | None:
    """Why ``family`` is not evaluated; None also where the families stand in files."""
    there = list(recipe.eval_tasks.families) if isinstance(recipe.eval_tasks, EvalData) else [family]
    if family not in there:
        return f"{family!r} is no family of eval_tasks; there are {', '.join(there)}"
    if recipe.evaluate.tasks and family not in recipe.evaluate.tasks:
        return f"{family!r} is not evaluated; evaluate.tasks names {', '.join(recipe.evaluate.tasks)}"
    return None


def _evaluated_problems(recipe: "Recipe") -> Iterable[Problem]:
    if isinstance(recipe.eval_tasks, EvalData):
        for index, name in enumerate(recipe.evaluate.tasks):
            if words := _family_problem(recipe, name):
                yield Problem(("evaluate", "tasks", index), words)


def source_names(dataset: Dataset) -> tuple[str, ...]:
    """The sources that ``dataset`` names; none where it takes every source of its purpose."""
    return tuple(dataset.weights) if dataset.type == "mix" else tuple(dataset.sources or ())
