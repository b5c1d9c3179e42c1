"""``docs/seeds.md`` from the results of several variants of one line."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.seeds.aims import Seen, aim_rows, gain

HEAD = """# The default line under {count} seeds

Made by `make seeds`: the line `{line}`, each time with other generated rows, another order and other noise, on the same
{items} held-out items. A cell is the mean accuracy over the seeds and, in brackets, the lowest and the highest.

"""
GAINS = """
## Gains, seed by seed

Accuracy gained over the model that it was made from, on the same items, paired, with its 95 % interval.

"""

AIMS = """
## What it is asked to show

Paired differences in points, with 95 % bootstrap intervals.

"""
TIMES = """
## Seconds

Of each stage, its commit and checks included, and of the whole; below, with how many threads its programs computed.

"""

Results = Sequence[Mapping[str, Any]]


def page(line: str, seeds: Sequence[Seen], with_aims: bool = True) -> str:
    """Markdown: accuracy of every model and baseline, the aims, each model's gain over its start, and the times.

    Args:
        seeds: what each variant left, in the order of the seeds.
        with_aims: leave them out for a line that has not the default line's steps.
    """
    results = [seen["results"] for seen in seeds]
    first = results[0]
    names = [name for name in first["models"][0]["metrics"] if name.split("/")[0] == "accuracy"]
    items = first["models"][0]["metrics"]["accuracy"]["n"]
    head = ["model", *(name.removeprefix("accuracy/") for name in names)]
    rows = [[model["asset"], *_spread(results, model["asset"], names)] for model in first["models"]]
    for name in [name for name in first["baselines"] if "/" not in name]:
        cells = [name + metric.removeprefix("accuracy") for metric in names]
        rows.append([name, *(_cell([found["baselines"][cell]["value"] for found in results]) for cell in cells)])
    found = HEAD.format(count=len(results), line=line, items=items) + _table(head, rows)
    if with_aims:
        found += AIMS + _table(["aim", *_numbers(seeds), "met"], aim_rows(seeds))
    return found + GAINS + _gains(seeds) + TIMES + _times(seeds)


def _numbers(seeds: Sequence[Any]) -> list[str]:
    return [f"seed {number}" for number in range(len(seeds))]


def _times(seeds: Sequence[Seen]) -> str:
    rows = [[asset, *(f"{seen['seconds'][asset]:.0f}" for seen in seeds)] for asset in seeds[0]["seconds"]]
    total = ["all", *(f"{sum(seen['seconds'].values()):.0f}" for seen in seeds)]
    return _table(["stage", *_numbers(seeds)], [*rows, total, ["threads", *map(_threads, seeds)]])


def _threads(seen: Seen) -> str:
    """Of the programs that made it, as told by those whose facts say so."""
    told = {facts["compute"]["threads"] for facts in seen["facts"].values() if "threads" in facts.get("compute", {})}
    return ", ".join(sorted(told)) or "not told"


def _spread(results: Results, asset: str, names: Sequence[str]) -> list[str]:
    found = [next(model for model in result["models"] if model["asset"] == asset) for result in results]
    return [_cell([model["metrics"][name]["value"] for model in found]) for name in names]


def _gains(seeds: Sequence[Seen]) -> str:
    made_from = {model["asset"]: model["made_from"] for model in seeds[0]["results"]["models"]}
    pairs = [(asset, start) for asset, starts in made_from.items() for start in starts if start in made_from]
    rows = [[f"{one} over {other}", *(_gain(seen, one, other) for seen in seeds)] for one, other in pairs]
    return _table(["model over", *_numbers(seeds)], rows)


def _gain(seen: Seen, model: str, baseline: str) -> str:
    try:
        row = gain(seen, model, baseline)
    except KeyError:
        return ""
    return f"{row['value']:+.1%} ({row['low']:+.1%} to {row['high']:+.1%})"


def _cell(values: Sequence[float]) -> str:
    return f"{mean(values):.1%} ({min(values):.1%} to {max(values):.1%})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
