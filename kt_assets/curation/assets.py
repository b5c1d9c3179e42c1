"""The curation room: raw rows become rows worth training on; every removed row is kept with its reason."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from kt_assets.curation.emails import mask_row
from kt_assets.curation.pipeline import Curated, curate, reasons_table
from kt_assets.mix.tokenize_rows import count_tokens
from kt_assets.stage import Made, Stage, Work
from kt_resources.compute.program import write_json
from kt_resources.recipes.data import Curation, Purpose, overlaps
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.schemas import Row, prompt_key
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows, write_rows
from kt_resources.tokenizing import load_tokenizer

VERSION = "2"


class CurationConfig(Curation):
    """What a row must pass, and which source serves which purpose: rows of two purposes share no prompt."""

    purposes: dict[str, Purpose]


def curation_config(recipe: Recipe) -> CurationConfig:
    """The recipe's curation with the purpose of each of its sources."""
    purposes = {source.name: source.purpose for source in recipe.data.sources}
    return CurationConfig(purposes=purposes, **dict(recipe.data.curation))


def curated_examples(stage: Stage) -> dg.AssetsDefinition:
    """Rows after curation, by every source, with the removed ones and their reasons beside them."""

    @dg.asset(**stage.arguments())
    def curated(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
        return stage.materialize(context, store, make_curated)

    return curated


def make_curated(work: Work) -> Made:
    """Curate the raw rows against the held-out items, with lengths by the base model's own tokenizer."""
    raw = read_rows(work.inputs["raw"].path("examples.parquet"))
    held_out = read_rows(work.inputs["evaluation"].path("items.parquet"))
    tokenizer = load_tokenizer(work.inputs["base"].path("model"))
    config: CurationConfig = work.config
    curated = curate(raw, held_out, lambda row: count_tokens(row, tokenizer), config, config.purposes)
    write_rows(work.out / "examples.parquet", curated.kept, "example")
    write_rows(work.out / "removed.parquet", curated.removed, "removed")
    facts = curation_facts(raw, held_out, curated, config.purposes)
    write_json(work.out / "facts.json", facts)
    removed = {"removed": curated.counts_by_reason, "num_emails_masked": curated.num_addresses}
    return Made(facts | removed, {"what was removed, and why": reasons_table(curated)})


def curation_facts(
    raw: Sequence[Row], held_out: Sequence[Row], curated: Curated, purposes: dict[str, Purpose]
) -> dict[str, Any]:
    """One row for the contract: are all rows accounted for, and are prompts shared where they must not be?"""
    by_purpose: dict[str, set[str]] = {purpose: set() for purpose in purposes.values()}
    for row in curated.kept:
        by_purpose[purposes[row["source"]]].add(prompt_key(row))
    evaluated = {prompt_key(row) for row in held_out}
    return {
        "num_raw": len(raw),
        "num_kept": len(curated.kept),
        "num_unaccounted": len(raw) - len(curated.kept) - len(curated.removed),
        "kept_fraction": len(curated.kept) / max(len(raw), 1),
        "num_emails_left": sum(mask_row(row)[1] for row in curated.kept),
        "num_prompts_shared_with_evaluation": len(evaluated & set().union(*by_purpose.values())),
        "num_prompts_shared_between_purposes": sum(len(shared) for _, _, shared in overlaps(by_purpose)),
    }
