"""Replay: what the base model itself answers to everyday requests, to be mixed in so that it is not forgotten.

Self-distilled replay: the rows teach nothing new, they hold the model to its own manner (as rehearsal does in continual
learning, arXiv:2403.01244, where the model writes its own rehearsal rows).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from kt_assets.sources.assets import show
from kt_assets.stage import Made, Stage, Work
from kt_assets.synthetic.assets import generate
from kt_assets.synthetic.completions import Candidate
from kt_resources.compute.program import write_json
from kt_resources.generators.protocol import Generator
from kt_resources.recipes.data import REPLAY, Replay
from kt_resources.store.schemas import Row, example_row, prompt_key
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows, write_rows

VERSION = "1"
PROMPTS = "general_prompts.txt"


def replay_examples(stage: Stage) -> dg.AssetsDefinition:
    """The base model's own answers to everyday requests, to be mixed in against forgetting."""

    @dg.asset(**stage.arguments())
    def replayed(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], generator: dg.ResourceParam[Generator]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: make_replay(work, generator))

    return replayed


def make_replay(work: Work, generator: Generator) -> Made:
    """Ask the base model, keep what it ended by itself and what is not held out."""
    config: Replay = work.config
    held_out = {prompt_key(row) for row in read_rows(work.inputs["evaluation"].path("items.parquet"))}
    prompts = [row for row in general_prompts() if prompt_key(row) not in held_out][: config.num_prompts]
    result, candidates = generate(work, generator, work.inputs["base"], prompts, 1)
    rows, counts = finished_rows(prompts, candidates)
    write_rows(work.out / "examples.parquet", rows, "example")
    write_rows(work.out / "prompts.parquet", prompts, "example")
    shared = sum(prompt_key(row) in held_out for row in rows)
    facts = {"num_prompts": len(prompts), "num_rows": len(rows), "num_prompts_shared_with_evaluation": shared}
    write_json(work.out / "facts.json", facts)
    return Made.of_program(result, facts | {"answers by outcome": counts}, {"rows": show(rows)})


def general_prompts() -> list[Row]:
    """The everyday requests as prompt rows, in the order in which they are written."""
    lines = (Path(__file__).parent / PROMPTS).read_text(encoding="utf-8").splitlines()
    return [
        example_row([{"role": "user", "content": text}], None, source=REPLAY, family="general", origin=f"{PROMPTS}:{n}")
        for n, text in enumerate(lines, start=1)
        if not text.startswith("#")
    ]


def finished_rows(
    prompts: Sequence[Mapping[str, Any]], candidates: Mapping[str, Sequence[Candidate]]
) -> tuple[list[Row], dict[str, int]]:
    """Each prompt with its answer, and how many answers there were by outcome: ``kept, unfinished, empty``.

    One cut off at the token limit would teach to stop anywhere, an empty one to say nothing.
    """
    rows, counts = [], Counter[str]()
    for prompt in prompts:
        for answer in candidates.get(prompt["id"], ()):
            fate = "unfinished" if not answer.finished else "kept" if answer.text else "empty"
            counts[fate] += 1
            if fate == "kept":
                named = {name: prompt[name] for name in ("source", "family", "origin")}
                rows.append(example_row(prompt["prompt"], answer.text, parents=[prompt["id"]], **named))
    return rows, dict(counts)
