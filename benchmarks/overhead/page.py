"""``docs/overhead.md`` from a measurement."""

from collections.abc import Mapping, Sequence
from typing import Any

AIM = 0.05
HEAD = """# What the pipeline costs

Made by `make bench-overhead{full}` on {date}: {cpu}, {cores} cores (load over the last 15 minutes: {load}).

*Orchestration* is all that is not the programs' and generators' own work: the command, Dagster, reading and writing
tables, curation, checks, commits, and the imports of the programs (aim: at most {aim:.0%} of the default line). Most of
it is the same however long the programs work, so a short line shows a larger share.
"""
WITH_SCRIPT = """
## The line `{line}` beside a plain script
`kt run` made it into an empty KT_HOME; then a plain script ran the same stages on the same rows:
transformers, TRL, `mergekit-yaml` and llama-cpp-python as they come, in one process, without curation, store, checks,
held-out evaluation while training, checkpoints, measurements, baselines or report (`benchmarks/overhead/plain.py`; only
the GGUF export is ours, as llama.cpp's converter is in no wheel).

**`kt run` took {wall:.0f} s, the plain script {plain:.0f} s: {ratio:.2f} times.**
"""
ALONE = """
## The line `{line}` taken apart
`kt run` made it into an empty KT_HOME, in {wall:.0f} s.
"""
SHARE = """
Orchestration was **{orchestration:.0f} s, {share:.1%}**: {imports:.0f} s imports of programs, {around:.0f} s in stages
around programs, {outside:.0f} s outside stages (the command's own start, Dagster, asset checks).

"""
COLUMNS = "stage", "pipeline s", "own work", "imports", "around"


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: of each line its share and a row a stage, of the first the ratio to the plain script too."""
    machine = results[-1]["machine"]
    head = HEAD.format(
        full=" BENCH_ARGS=--full" if len(results) > 1 else "",
        date=results[-1]["date"],
        cpu=machine["cpu"],
        cores=machine["cores"],
        load=machine["load_15_min"],
        aim=AIM,
    )
    return head + "".join(map(_section, results))


def _section(told: Mapping[str, Any]) -> str:
    head = (WITH_SCRIPT if told["plain"] else ALONE) + SHARE
    text = head.format(
        line=told["line"],
        wall=told["wall_s"],
        plain=told["plain_s"],
        ratio=told["ratio"] or 0.0,
        orchestration=told["wall_s"] - told["own_work_s"],
        share=told["orchestration_share"],
        imports=told["imports_s"],
        around=told["around_in_stages_s"],
        outside=told["outside_stages_s"],
    )
    columns = [*COLUMNS, "plain script s"] if told["plain"] else list(COLUMNS)
    plain = dict(told["plain"])
    rows = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    rows += [_row(stage, plain.pop(stage["asset"], None), len(columns)) for stage in told["stages"]]
    rows += [f"| ({stage}) | | | | | {seconds:.1f} |" for stage, seconds in plain.items()]
    return text + "\n".join(rows) + "\n"


def _row(stage: Mapping[str, Any], plain: float | None, columns: int) -> str:
    own, imports = stage["own_work"] - stage["imports"], stage["imports"]
    around = stage["seconds"] - stage["own_work"]
    cells = [stage["asset"], f"{stage['seconds']:.1f}", f"{own:.1f}", f"{imports:.1f}", f"{around:.1f}"]
    return f"| {' | '.join([*cells, '' if plain is None else f'{plain:.1f}'][:columns])} |"
