"""The sources room: the base model, the raw rows, and the held-out tasks that everything is judged by."""

from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg

from kt_assets.evaluate.general_text import LICENCE, general_text
from kt_assets.evaluate.tasks import write_tasks
from kt_assets.markdown import cell_text
from kt_assets.sources.read_file import BadRow
from kt_assets.sources.reasoning_gym import evaluation_rows
from kt_assets.sources.records import raw_records, to_jsonl, to_row
from kt_assets.stage import Made, Stage, Work
from kt_resources.bases.protocol import BaseLoader
from kt_resources.bases.spec import BaseSpec
from kt_resources.errors import DataError
from kt_resources.recipes.base_model import BaseModelSource
from kt_resources.recipes.data import EvalData, FileSource, Source
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.fingerprint import file_sha256
from kt_resources.store.schemas import Row, prompt_text
from kt_resources.store.store import Store
from kt_resources.store.tables import write_rows
from kt_resources.strict import Strict
from kt_resources.verifiers import Verifier

VERSION = "1"


class BaseConfig(Strict):
    """Where the base model comes from."""

    source: BaseModelSource


class RawConfig(Strict):
    """The sources; ``files`` holds the SHA-256 of each file, so that a changed file is a changed stage."""

    sources: tuple[Source, ...]
    evaluation: EvalData
    files: dict[str, str]


class EvalConfig(EvalData):
    """The held-out tasks and the verifier that scores them."""

    verifier: Verifier
    max_new_tokens: int


def base_config(recipe: Recipe) -> BaseConfig:
    """The recipe's base model."""
    return BaseConfig(source=recipe.base_model)


def raw_config(recipe: Recipe, folder: Path) -> RawConfig:
    """The recipe's sources; files are looked for from the recipe's ``folder``."""
    paths = [source.path for source in recipe.data.sources if isinstance(source, FileSource)]
    files = {path: file_sha256(folder / path) if (folder / path).is_file() else "missing" for path in paths}
    return RawConfig(sources=tuple(recipe.data.sources), evaluation=recipe.eval_tasks, files=files)


def eval_config(recipe: Recipe) -> EvalConfig:
    """The recipe's held-out tasks."""
    limit = recipe.evaluate.max_new_tokens
    return EvalConfig(verifier=recipe.verifier, max_new_tokens=limit, **dict(recipe.eval_tasks))


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
    folder = work.stage.folder or Path.cwd()
    for path in config.files:
        if not (folder / path).is_file():
            raise DataError("there is no such file", where=str(folder / path), mend="correct `path` in the recipe")
    dirty = any(getattr(source, "dirt", None) for source in config.sources)
    held_out = evaluation_rows(config.evaluation) if dirty else []
    bad: list[BadRow] = []
    records = [record for source in config.sources for record in raw_records(source, held_out, folder, bad)]
    (work.out / "raw.jsonl").write_text(to_jsonl(records), encoding="utf-8")
    rows = [to_row(record) for record in records]
    write_rows(work.out / "examples.parquet", rows, "example")
    facts: dict[str, Any] = {"num_rows": len(rows), "rows_by_source": Counter(row["source"] for row in rows)}
    if bad:
        (work.out / "bad_rows.jsonl").write_text(to_jsonl(bad), encoding="utf-8")
        facts["num_bad_rows"] = len(bad)
    return Made(facts, {"rows": show(rows)})


def eval_tasks(stage: Stage) -> dg.AssetsDefinition:
    """The held-out tasks, as a folder that lm-eval runs, and general text for perplexity."""

    @dg.asset(**stage.arguments())
    def tasks(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make_tasks)

    return tasks


def make_tasks(work: Work) -> Made:
    """Write ``tasks/<family>/``, ``items.parquet`` and ``general_text.txt``."""
    config: EvalConfig = work.config
    rows = evaluation_rows(config)
    counts = write_tasks(rows, config.verifier, work.out / "tasks", config.max_new_tokens)
    write_rows(work.out / "items.parquet", rows, "example")
    (work.out / "general_text.txt").write_text(general_text(), encoding="utf-8")
    facts = {"num_items": len(rows), "items_by_family": counts, "general_text": LICENCE}
    return Made(facts, {"items": show(rows)})


def show(rows: list[Row], count: int = 8) -> str:
    """The first rows as a markdown table."""
    lines = ["| source | family | prompt | completion or answer |", "|---|---|---|---|"]
    for row in rows[:count]:
        cells = (row["source"], row["family"], prompt_text(row), row["completion"] or row["answer"] or "")
        lines.append("| " + " | ".join(cell_text(cell, 120) for cell in cells) + " |")
    return "\n".join(lines)
