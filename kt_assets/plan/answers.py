"""What a stage has models say before it was ever made: prompts read and answers written, in tokens, about."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kt_assets.evaluate.assets import NO_MODELS
from kt_assets.plan.glance import Sources
from kt_assets.sources.read_file import read_file
from kt_assets.stage import Stage
from kt_resources.evaluators.config import Evaluation
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.data import EvalData, Replay, Synthetic
from kt_resources.recipes.datasets import OnPolicy
from kt_resources.recipes.held_out import FileTasks, HeldOut

REQUEST_TOKENS = 40
"""Of an everyday request of the replay, under its template, about."""

PROBE_TOKENS = 100 * 30
"""Of the 100 short sentences of the probe of general ability, about."""

TOKENS_A_WORD = 1.4


@dataclass(frozen=True)
class Answers:
    """What a stage has models say.

    Attributes:
        models: opened one after the other.
        read, written: tokens of all prompts and answers, over all models.
    """

    models: int
    read: float
    written: float


def asked_of_models(stage: Stage, sources: Sources) -> Answers | None:
    """What ``stage`` has models answer; None where it asks none, or a model of another size.

    Prompts are counted as long as those of the sources, and read once however many answers are sampled. A trained
    model's answers are as long as those that it learned from, the base model's as long as they may be.

    Raises:
        DataError: a source's file is absent or cannot be read.
    """
    config: Any = stage.config
    if isinstance(config, Evaluation):
        return _evaluated(stage, config, sources)
    if isinstance(config, Replay):
        return Answers(1, config.num_prompts * REQUEST_TOKENS, config.num_prompts * config.sampling.max_new_tokens)
    if isinstance(config, Synthetic) and stage.parents["teacher"].name == BASE:
        prompts = config.prompts.num_prompts
        read = prompts * _means(sources, sources.names("train"))[0]
        return Answers(1, read, prompts * config.num_samples * config.sampling.max_new_tokens)
    if isinstance(config, OnPolicy):
        told: Any = config
        names = tuple(config.sources or told.purpose_sources)
        prompts = min(sum(map(sources.num_rows, names)), config.num_prompts or 10**9)
        prompt, answer = _means(sources, names)
        written = min(answer or config.sampling.max_new_tokens, config.sampling.max_new_tokens)
        return Answers(1, prompts * prompt, prompts * config.num_samples * written)
    return None


def _evaluated(stage: Stage, config: Evaluation, sources: Sources) -> Answers:
    """Every model on every item; the base model a second time where it is asked after examples."""
    models = sum(name not in NO_MODELS for name in stage.parents)
    items = held_out_items(stage.parents["evaluation"], config, sources)
    prompt, answer = _means(sources, sources.names("train") or sources.names())
    longest = config.max_new_tokens
    untrained = 2 if config.few_shot.num_examples and "curated" in stage.parents else 1
    text = config.perplexity.max_words * TOKENS_A_WORD if config.perplexity.enabled else 0
    probe = PROBE_TOKENS if config.general_ability else 0
    written = items * (untrained * longest + (models - 1) * min(answer or longest, longest))
    return Answers(models, items * prompt * (models + untrained - 1) + models * (text + probe), written)


def held_out_items(stage: Stage, config: Evaluation, sources: Sources) -> int:
    """The items of ``eval_tasks`` that are asked, at most."""
    told: Any = stage.config
    tasks: Any = told.tasks
    if isinstance(tasks, EvalData):
        families = len(config.tasks or tasks.families)
        return families * min(tasks.num_items, config.num_items or tasks.num_items)
    if isinstance(tasks, FileTasks):
        rows = sum(1 for _ in read_file(sources.folder / tasks.path, tasks.source))
        return min(rows, tasks.num_items or rows)
    assert isinstance(tasks, HeldOut)
    return sum(min(tasks.num_items, round(tasks.fraction * sources.num_rows(name))) for name in told.sources)


def _means(sources: Sources, names: tuple[str, ...]) -> tuple[float, float]:
    """Mean tokens of a prompt and of an answer; of the answers that there are."""
    seen = [pair for name in names for pair in sources.glance(name).lengths]
    answers = [answer for _, answer in seen if answer]
    return fmean(prompt for prompt, _ in seen) if seen else 0.0, fmean(answers) if answers else 0.0
