"""The evaluation program's work: ask every model the same, keep each one's answers as soon as they are there."""

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_resources.compute.program import Progress, write_json
from kt_resources.errors import EvaluateError
from kt_resources.evaluators.answers import AnswerCache
from kt_resources.evaluators.config import ABILITY
from kt_resources.evaluators.known import ANSWERS, Known, asked_by
from kt_resources.evaluators.passages import count_words, passages
from kt_resources.evaluators.results import results_of, sample_rows, write_results
from kt_resources.evaluators.spec import EvaluatedModel, EvaluateSpec, Example
from kt_resources.store.fingerprint import file_sha256, hash_json


def work(spec: EvaluateSpec, progress: Progress) -> dict[str, Any]:
    """Evaluate every model of ``spec``; writes results, facts, samples and ``run/timings.json``."""
    tasks = task_names(spec)
    known = Known(spec.scratch_dir, spec.known_dir, spec.out_dir)
    measured, timings = [], []
    for index, model in enumerate(spec.models):
        told = _Told(progress, model.step, index, len(spec.models))
        done = known.folder(model, spec.config.engine) / f"{evaluation_key(spec, model, tasks)}.json"
        if not (reused := done.exists()):
            write_json(done, evaluate_model(spec, model, tasks, done.parent, told))
        seen = json.loads(done.read_text())
        known.keep(done)
        told.done()
        measured.append(seen)
        timings.append({"model": model.asset, **(_spared(seen["took"]) if reused else seen["took"])})
    results = results_of(spec.models, measured, spec.config)
    write_results(spec.out_dir, results, sample_rows(spec.models, measured))
    write_json(spec.out_dir / "run" / "timings.json", timings)
    return {**results["facts"], "timings": timings}


def _spared(took: Mapping[str, float]) -> dict[str, float]:
    """``took``, of an evaluation that is taken over whole."""
    return {**took, "spared_s": round(took["load_s"] + took["answer_s"] + took["general_s"], 2)}


ASKED = {"num_items", "max_new_tokens", "engine", "perplexity", "general_ability", "answer_perplexity"}
"""The options that change what a model is asked."""

SHARES = {
    "answers": (0.0, 0.5),
    "answers after examples": (0.5, 0.4),
    "held-out answers": (0.9, 0.02),
    "general ability": (0.92, 0.03),
    "general text": (0.95, 0.05),
}
"""Kinds of work on one model: where each begins and how much of the whole it is."""


class _Told:
    """Progress of one model among several: whole models done, and the share of this one."""

    def __init__(self, progress: Progress, name: str, index: int, total: int) -> None:
        self.progress, self.name, self.index, self.total = progress, name, index, total

    def __call__(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts of this kind of work on this model."""
        before, share = SHARES[what]
        share = before + share * done / max(1, total)
        self.progress.report(self.index + share, self.total, f"{self.name}: {what} {done}/{total}")

    def done(self) -> None:
        """This model is evaluated."""
        self.progress.report(self.index + 1, self.total, f"{self.name}: evaluated")


def task_names(spec: EvaluateSpec) -> list[str]:
    """The tasks to run: those of the recipe, else all there are; EvaluateError names one that is not there."""
    there = sorted(file.stem for file in spec.tasks_dir.glob("*/*.yaml"))
    missing = [name for name in spec.config.tasks if name not in there]
    if missing or not there:
        mend = f"name tasks among: {', '.join(there)}" if there else "materialize eval_tasks first"
        what = f"no held-out task {', '.join(missing)}" if missing else "there are no held-out tasks"
        raise EvaluateError(what, where="evaluate.tasks", mend=mend)
    return [name for name in there if not spec.config.tasks or name in spec.config.tasks]


def evaluation_key(spec: EvaluateSpec, model: EvaluatedModel, tasks: list[str]) -> str:
    """What a model's answers depend on: itself, how it is asked, and what."""
    folders = [*(spec.tasks_dir / name for name in tasks), *([spec.ability_dir] if spec.ability_dir else [])]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if file.is_file()]
    asked = {f"{file.parent.name}/{file.name}": file_sha256(file) for file in files}
    text = file_sha256(spec.general_text) if spec.general_text else ""
    options = spec.config.model_dump(mode="json", include=ASKED)
    examples = {task: [example.id for example in found] for task, found in examples_for(spec, model).items()}
    by = asked_by(model, spec.config.engine)
    return hash_json([model.asset, model.data_version, asked, text, options, examples, by])[:24]


def examples_for(spec: EvaluateSpec, model: EvaluatedModel) -> Mapping[str, Sequence[Example]]:
    """The worked examples that ``model`` is asked after, by task: the first model alone is."""
    return spec.examples if model == spec.models[0] else {}


def evaluate_model(
    spec: EvaluateSpec, model: EvaluatedModel, tasks: list[str], folder: Path, told: _Told
) -> dict[str, Any]:
    """One model's scored ``items``, ``references`` and ``general`` text columns and what it ``took`` (seconds, tokens).

    ``spared_s`` are the seconds of ``answer_s`` that answers known beforehand took when they were given. Where there
    are examples for it, also ``few_shot``: the same items, asked after them.
    """
    from kt_resources.evaluators.adapter import EngineLM
    from kt_resources.generators.tokenizers import FolderTokenizer

    started = time.monotonic()
    tokenizer = FolderTokenizer(model.tokenizer_dir).hf
    if not tokenizer.chat_template:
        mend = "the checkpoint needs its chat_template.jinja; materialize it again"
        raise EvaluateError("the model has no chat template", where=f"{model.asset}: {model.tokenizer_dir}", mend=mend)
    with open_model(model, spec, folder) as engine:
        loaded = time.monotonic()
        answers = AnswerCache(folder / ANSWERS)
        lm = EngineLM(engine, tokenizer, answers, spec.config.batch_size)
        lm.on_progress = lambda done, total: told("answers", done, total)
        items = answer_items(lm, spec, tasks)
        examples = examples_for(spec, model)
        lm.on_progress = lambda done, total: told("answers after examples", done, total)
        few_shot = answer_items(lm, spec, tasks, examples) if examples else None
        answered = time.monotonic()
        lm.on_progress = lambda done, total: told("held-out answers", done, total)
        references = score_references(lm, spec, items)
        lm.on_progress = lambda done, total: told("general ability", done, total)
        ability = probe_ability(lm, spec)
        lm.on_progress = lambda done, total: told("general text", done, total)
        general = score_text(lm, spec)
    answers.forget_others()
    spared = answers.spared_seconds()
    took = {
        "load_s": round(loaded - started, 2),
        "answer_s": round(answered - loaded + spared, 2),
        "general_s": round(time.monotonic() - answered, 2),
        "spared_s": round(spared, 2),
        "answer_tokens": sum(item["num_tokens"] for item in [*items, *(few_shot or [])]),
    }
    found = {"items": items, "few_shot": few_shot, "references": references, "ability": ability, "general": general}
    return found | {"took": took}


@contextlib.contextmanager
def open_model(model: EvaluatedModel, spec: EvaluateSpec, folder: Path) -> Iterator[Any]:
    """The engine of a checkpoint folder or a GGUF file; what it exports into ``folder`` is gone afterwards."""
    from kt_resources.generators.open_engine import open_adapted, open_engine

    exported = folder / "exported"
    exported.mkdir(parents=True, exist_ok=True)
    size = spec.config.batch_size
    if model.adapter_dir:
        engine = open_adapted(model.path, model.adapter_dir, size)
    else:
        engine = open_engine(model.path, spec.config.engine, model.tokenizer_dir, size, exported)
    try:
        yield engine
        shutil.rmtree(exported)
    finally:
        engine.close()


def answer_items(
    lm: Any, spec: EvaluateSpec, tasks: list[str], examples: Mapping[str, Sequence[Example]] | None = None
) -> list[dict[str, Any]]:
    """Run lm-eval over the tasks; one row an item, scored by the task's own ``process_results``.

    Args:
        examples: by task, put before its items as earlier turns.

    ``lm_eval.evaluate`` is what ``lm_eval.simple_evaluate`` calls; the latter also describes the machine (4 s a model).
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    loaded = TaskManager(include_path=str(spec.tasks_dir), include_defaults=False).load(tasks)
    for name, task in loaded["tasks"].items():
        options = {"max_gen_toks": spec.config.max_new_tokens}
        task.set_config(key="generation_kwargs", value=options, update=True)
        put_before(task, (examples or {}).get(name, ()))
    evaluated = lm_eval.evaluate(
        lm,
        task_dict=loaded,
        limit=spec.config.num_items,
        bootstrap_iters=0,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
    )
    samples = evaluated["samples"]
    return [item_of(lm, task, sample, spec.config.max_new_tokens) for task in tasks for sample in samples[task]]


def put_before(task: Any, examples: Sequence[Example]) -> None:
    """Have lm-eval put ``examples`` before every item of ``task``, in this order (``num_fewshot``)."""
    from lm_eval.api.samplers import FirstNSampler

    shown = [{"question": example.question, "answer": example.completion} for example in examples]
    task.set_config(key="num_fewshot", value=len(shown))
    task.sampler = FirstNSampler(shown)


def item_of(lm: Any, task: str, sample: Mapping[str, Any], max_new_tokens: int) -> dict[str, Any]:
    """One of lm-eval's logged samples as a row."""
    prompt, doc = sample["arguments"][0][0], sample["doc"]
    answer = lm.answer_to(prompt, max_new_tokens)
    return {
        "task": task,
        "id": doc["id"],
        "family": doc["family"],
        "question": doc["question"],
        "prompt": prompt,
        "completion": answer.text,
        "answer": doc["answer"],
        "reference": doc["reference"],
        "score": float(sample["score"]),
        "lenient_score": float(sample["lenient_score"]),
        "stopped": answer.stopped,
        "num_tokens": answer.num_tokens,
    }


def score_references(lm: Any, spec: EvaluateSpec, items: list[dict[str, Any]]) -> dict[str, list[float]] | None:
    """Columns ``nll`` (nats), ``tokens`` of each item's reference answer after its prompt, in the order of ids.

    None where it is not asked for, or of fewer than two items, which have no interval.
    """
    from lm_eval.api.instance import Instance

    if not spec.config.answer_perplexity or len(items) < 2:
        return None
    pairs = [(item["prompt"], item["reference"]) for item in sorted(items, key=lambda item: (item["task"], item["id"]))]
    requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
    nll = [-value for value, _ in lm.loglikelihood(requests)]
    return {"nll": nll, "tokens": [len(lm.encode(head + tail)) - len(lm.encode(head)) for head, tail in pairs]}


def probe_ability(lm: Any, spec: EvaluateSpec) -> dict[str, float] | None:
    """Item id → 1 where the right words are the likeliest, without a chat template; None where it is not asked for."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    if spec.ability_dir is None or not spec.config.general_ability:
        return None
    loaded = TaskManager(include_path=str(spec.ability_dir), include_defaults=False).load([ABILITY])
    samples = lm_eval.evaluate(lm, task_dict=loaded, bootstrap_iters=0)["samples"][ABILITY]
    return {sample["doc"]["id"]: float(sample["acc"]) for sample in samples}


def score_text(lm: Any, spec: EvaluateSpec) -> dict[str, list[float]] | None:
    """Columns ``nll`` (nats), ``tokens``, ``words`` of the general text's passages; None where it is not asked for."""
    from lm_eval.api.instance import Instance

    if spec.general_text is None or not spec.config.perplexity.enabled:
        return None
    texts = passages(spec.general_text.read_text(encoding="utf-8"), spec.config.perplexity.max_words)
    if len(texts) < 2:
        what = "it is too short: two passages of 60 words are the least that has an interval"
        raise EvaluateError(what, where=str(spec.general_text), mend="give a text of some paragraphs")
    requests = [Instance("loglikelihood_rolling", {}, (text,), index) for index, text in enumerate(texts)]
    nll = [-value for value in lm.loglikelihood_rolling(requests)]
    return {"nll": nll, "tokens": [len(lm.encode(text)) for text in texts], "words": count_words(texts)}
