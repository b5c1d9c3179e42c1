"""``docs/claims.md`` from the cells that have run."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.claims.cells import (
    ADAPTER_RATE,
    BATCH,
    CELLS,
    DPO_RATE,
    LEARNING_RATES,
    NUM_ITEMS,
    NUM_TRAIN,
    SEEDS,
    STEPS,
)
from benchmarks.claims.verdicts import CLAIMS, BySeed, judge, last_loss

HEAD = """# Claims, tried

Made by `make claims`, which goes on where it stopped. **{done} of {all} cells have run.**{short}

Each cell trains the embedded 135M model on the same {rows} worked sums and greatest common divisors, {steps} steps of
{batch} rows, through the training program, and answers {items} held-out questions, greedy, exact. Learning rates were
set once and not tuned: {rate:g}, except {rates}.
DPO's is the objective's own default: at 0.0001, tried first, one seed unlearned what it knew (11% right, 33% before).
They train in float32, which every CPU computes (bfloat16 only some do){threads}. Memory is the training process's peak
while it trains, libraries included; seconds are the processor's, of training alone, so that cells may run beside each
other. A checkpoint is written at the end alone.{mixed}

A claim holds here where the 95 % interval over the seeds (Student's t) lies within what was claimed, does not where it
lies outside, and cannot be told where it does both. "Here" is one small model, one narrow task, {steps} steps.

## What was claimed, what came out
| claim | said by | measured here | mean (interval); seeds | verdict |
|---|---|---|---|---|
"""
MIXED = """ Cells of seed {seeds} ran on processors of more than one kind: claims about
seconds are judged by cells of one kind alone, and seconds of the table below are each its own's."""
CELLS_HEAD = """
## The cells
Means over the seeds that have run; accuracy of each seed in brackets.

| cell | seeds | trainable | peak GB | tokens a CPU second | training, CPU s | last held-out loss | accuracy |
|---|---:|---:|---:|---:|---:|---:|---:|
"""


def page(found: Sequence[BySeed]) -> str:
    """Markdown; ``found`` has a mapping of cells for each of :data:`SEEDS`."""
    done = sum(len(cells) for cells in found)
    steps = {result["steps"] for cells in found for result in cells.values()}
    short = "" if steps <= {STEPS} else f" Some ran fewer steps than {STEPS}: {sorted(steps)}."
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items()) + f", DPO {DPO_RATE:.5f}"
    threads = sorted({result["threads"] for cells in found for result in cells.values() if "threads" in result})
    mixed = [str(seed) for seed, cells in zip(SEEDS, found, strict=True) if len(_hosts(cells)) > 1]
    head = HEAD.format(
        mixed=MIXED.format(seeds=", ".join(mixed)) if mixed else "",
        threads=f", with {' or '.join(map(str, threads))} thread(s)" if threads else "",
        done=done,
        all=len(CELLS) * len(SEEDS),
        short=short,
        rows=NUM_TRAIN,
        steps=STEPS,
        batch=BATCH,
        items=NUM_ITEMS,
        rate=ADAPTER_RATE,
        rates=rates,
    )
    rows = []
    for claim in CLAIMS:
        verdict, figures = judge(claim, found, len(SEEDS))
        rows.append(f"| {claim.words} | {claim.source} | {claim.measured} | {figures} | {verdict} |")
    cells = [_cell(cell.name, [by_seed[cell.name] for by_seed in found if cell.name in by_seed]) for cell in CELLS]
    return head + "\n".join(rows) + "\n" + CELLS_HEAD + "\n".join(cells) + "\n"


def _hosts(cells: BySeed) -> set[str]:
    return {result["host"] for result in cells.values() if "host" in result}


def _cell(name: str, results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return f"| {name} | not run yet | | | | | | |"
    shown = [
        _mean(results, "trainable_share", "{:.2%}"),
        _mean(results, "peak_memory_gb", "{:.2f}"),
        _mean(results, "tokens_per_s", "{:.0f}"),
        _mean(results, "train_s", "{:.0f}"),
        _last_loss(results),
    ]
    accuracies = [result["accuracy"] for result in results]
    each = ", ".join(f"{value:.0%}" for value in accuracies)
    return f"| {name} | {len(results)} | {' | '.join(shown)} | {statistics.mean(accuracies):.1%} ({each}) |"


def _mean(results: Sequence[Mapping[str, Any]], figure: str, form: str) -> str:
    values = [result[figure] for result in results if result.get(figure)]
    return form.format(statistics.mean(values)) if values else ""


def _last_loss(results: Sequence[Mapping[str, Any]]) -> str:
    losses = [last_loss(result) for result in results if "losses" in result]
    return f"{statistics.mean(losses):.3f}" if losses else ""
