"""The sources room: the base model, the raw rows, and the held-out tasks that everything is judged by."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from kt_assets.evaluate.general_ability import write_probe
from kt_assets.evaluate.general_text import LICENCE, general_text
from kt_assets.evaluate.tasks import write_tasks
from kt_assets.markdown import cell_text
from kt_assets.mix.tokenize_rows import count_tokens
from kt_assets.sources.held_out import compared, file_items, split_items
from kt_assets.sources.read_file import BadRow
from kt_assets.sources.reasoning_gym import evaluation_rows
from kt_assets.sources.records import raw_records, to_jsonl, to_row
from kt_assets.stage import Made, Stage, Work
from kt_resources.bases.protocol import BaseLoader
from kt_resources.bases.spec import BaseSpec
from kt_resources.compute.program import write_json
from kt_resources.errors import DataError
from kt_resources.recipes.base_model import BaseModelSource
from kt_resources.recipes.data import Curation, EvalData, FileSource, Source
from kt_resources.recipes.held_out import EvalTasks, FileTasks
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.fingerprint import file_sha256
from kt_resources.store.schemas import Row, prompt_text
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows, write_rows
from kt_resources.strict import Strict
from kt_resources.tokenizing import load_tokenizer
from kt_resources.verifiers import Verifier, VerifierConfig, build_verifier

VERSION = "3"


class BaseConfig(Strict):
    """Where the base model comes from."""

    source: BaseModelSource


class RawConfig(Strict):
    """The sources; ``files`` holds the SHA-256 of each file, so that a changed file is a changed stage.

    Attributes:
        evaluation: what leaked dirt is made of.
        verifier: what it compares with is looked for in the rows that are asked and judged.
    """

    sources: tuple[Source, ...]
    evaluation: EvalTasks
    verifier: Verifier
    files: dict[str, str]


class EvalConfig(Strict):
    """The held-out tasks and the verifier that scores them.

    Attributes:
        sources: those whose rows are split, where the tasks are a split.
        curation: what a row must pass to be held out of a split.
        files: SHA-256 by path, as in ``raw_examples``.
    """

    tasks: EvalTasks
    sources: tuple[str, ...]
    curation: Curation
    verifier: Verifier
    max_new_tokens: int
    files: dict[str, str]


def base_config(recipe: Recipe) -> BaseConfig:
    """The recipe's base model."""
    return BaseConfig(source=recipe.base_model)


def raw_config(recipe: Recipe, folder: Path) -> RawConfig:
    """The recipe's sources; files are looked for from the recipe's ``folder``."""
    files = _hashes([source.path for source in recipe.data.sources if isinstance(source, FileSource)], folder)
    sources = tuple(recipe.data.sources)
    return RawConfig(sources=sources, evaluation=recipe.eval_tasks, verifier=recipe.verifier, files=files)


def eval_config(recipe: Recipe, folder: Path) -> EvalConfig:
    """The recipe's held-out tasks; a file of them is looked for from the recipe's ``folder``."""
    tasks = recipe.eval_tasks
    return EvalConfig(
        tasks=tasks,
        sources=recipe.held_out_sources,
        curation=recipe.data.curation,
        verifier=recipe.verifier,
        max_new_tokens=recipe.evaluate.max_new_tokens,
        files=_hashes([tasks.path] if isinstance(tasks, FileTasks) else [], folder),
    )


def _hashes(paths: Sequence[str], folder: Path) -> dict[str, str]:
    return {path: file_sha256(folder / path) if (folder / path).is_file() else "missing" for path in paths}


def base_model(stage: Stage) -> dg.AssetsDefinition:
    """The base model as a plain checkpoint folder, asked a question to see that it answers; its licence is recorded."""

    @dg.asset(**stage.arguments())
    def base(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], bases: dg.ResourceParam[BaseLoader]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: load_base(work, bases))

    return base


def load_base(work: Work, bases: BaseLoader) -> Made:
    """Bring the recipe's base model into the store."""
    spec = BaseSpec(out_dir=work.out, scratch_dir=work.scratch, source=work.config.source)
    facts = bases.load(spec, work.needs, work.context)
    return Made.of_program(facts, facts, {"probe": f"**{facts['probe']}**\n\n{facts['answer']}"})


def raw_examples(stage: Stage) -> dg.AssetsDefinition:
    """Every row of every source, as it came, with the place that it came from."""

    @dg.asset(**stage.arguments())
    def raw(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, read_sources)

    return raw


def read_sources(work: Work) -> Made:
    """Write ``raw.jsonl`` as the sources give it, and the same rows with ids as ``examples.parquet``.

    Rows that a source sets aside go to ``bad_rows.jsonl``, each with its place and its reason.
    """
    config: RawConfig = work.config
    folder = folder_with(work)
    dirty = any(getattr(source, "dirt", None) for source in config.sources)
    held_out = evaluation_rows(config.evaluation) if dirty and isinstance(config.evaluation, EvalData) else []
    bad: list[BadRow] = []
    records = [
        record for source in config.sources for record in raw_records(source, held_out, folder, bad, config.verifier)
    ]
    (work.out / "raw.jsonl").write_text(to_jsonl(records), encoding="utf-8")
    rows = [to_row(record) for record in records]
    write_rows(work.out / "examples.parquet", rows, "example")
    facts: dict[str, Any] = {"num_rows": len(rows), "rows_by_source": Counter(row["source"] for row in rows)}
    return Made(facts | keep_bad_rows(work, bad), {"rows": show(rows)})


def folder_with(work: Work) -> Path:
    """The recipe's folder; DataError where a file that the config names is not in it."""
    folder = work.stage.folder or Path.cwd()
    for path in work.config.files:
        if not (folder / path).is_file():
            raise DataError("there is no such file", where=str(folder / path), mend="correct `path` in the recipe")
    return folder


def keep_bad_rows(work: Work, bad: Sequence[BadRow]) -> dict[str, int]:
    """Write ``bad_rows.jsonl`` where there are any; their number as a fact."""
    if not bad:
        return {}
    (work.out / "bad_rows.jsonl").write_text(to_jsonl(bad), encoding="utf-8")
    return {"num_bad_rows": len(bad)}


def eval_tasks(stage: Stage) -> dg.AssetsDefinition:
    """The held-out tasks, as a folder that lm-eval runs; general text and a probe of general ability."""

    @dg.asset(**stage.arguments())
    def tasks(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make_tasks)

    return tasks


def make_tasks(work: Work) -> Made:
    """Write ``tasks/<family>/``, ``items.parquet``, ``general_text.txt``, ``general_ability/`` and ``facts.json``."""
    config: EvalConfig = work.config
    bad: list[BadRow] = []
    rows, told = held_out_items(work, bad)
    counts = write_tasks(rows, config.verifier, work.out / "tasks", config.max_new_tokens)
    write_rows(work.out / "items.parquet", rows, "example")
    (work.out / "general_text.txt").write_text(general_text(), encoding="utf-8")
    write_probe(work.out / "general_ability")
    facts = items_facts(rows, config.verifier)
    write_json(work.out / "facts.json", facts)
    told |= {"items_by_family": counts, "general_text": LICENCE} | keep_bad_rows(work, bad)
    return Made(facts | told, {"items": show(rows)})


def held_out_items(work: Work, bad: list[BadRow]) -> tuple[list[Row], dict[str, Any]]:
    """The items from wherever the recipe takes them, and what is to be told of that."""
    config: EvalConfig = work.config
    tasks = config.tasks
    if isinstance(tasks, EvalData):
        return evaluation_rows(tasks), {}
    if isinstance(tasks, FileTasks):
        return file_items(folder_with(work) / tasks.path, tasks, config.verifier, bad), {}
    raw = read_rows(work.inputs["raw"].path("examples.parquet"))
    tokenizer = load_tokenizer(work.inputs["base"].path("model"))
    split = split_items(
        raw, config.sources, tasks, config.verifier, config.curation, lambda row: count_tokens(row, tokenizer)
    )
    return split.items, {"passed over": split.passed_over} if split.passed_over else {}


def items_facts(rows: Sequence[Row], verifier: VerifierConfig) -> dict[str, float | int]:
    """One row for the contract: can every item be scored, and does the verifier accept the answers that are right?"""
    needed = compared(verifier)
    with_own = [row for row in rows if row["completion"] is not None]
    score = build_verifier(verifier) if verifier.type != "none" else None
    right = [1.0 if score is None else score(row["completion"], row) for row in with_own]
    return {
        "num_items": len(rows),
        "num_items_without_truth": sum(not all(row[name] for name in needed) for row in rows),
        "reference_score": sum(right) / len(right) if right else 1.0,
    }


def show(rows: list[Row], count: int = 8) -> str:
    """The first rows as a markdown table."""
    lines = ["| source | family | prompt | completion or answer |", "|---|---|---|---|"]
    for row in rows[:count]:
        cells = (row["source"], row["family"], prompt_text(row), row["completion"] or row["answer"] or "")
        lines.append("| " + " | ".join(cell_text(cell, 120) for cell in cells) + " |")
    return "\n".join(lines)
