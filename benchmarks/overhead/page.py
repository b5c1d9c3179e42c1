"""``docs/overhead.md`` from a measurement."""

from collections.abc import Mapping
from typing import Any

AIM = 0.05
HEAD = """# What the pipeline costs

Made by `make bench-overhead{full}` on {date}: {cpu}, {cores} cores (load over the last 15 minutes: {load}).

The line `{line}` was run by `kt run` into an empty KT_HOME; then a plain script ran the same stages on the same rows:
transformers, TRL, `mergekit-yaml` and llama-cpp-python as they come, in one process, without curation, store, checks,
held-out evaluation while training, checkpoints, measurements, baselines or report (`benchmarks/overhead/plain.py`; only
the GGUF export is ours, as llama.cpp's converter is in no wheel).

**`kt run` took {wall:.0f} s, the plain script {plain:.0f} s: {ratio:.2f} times.**

*Orchestration* is all that is not the programs' and generators' own work: the command, Dagster, reading and writing
tables, curation, checks, commits, and the imports of the programs. It was **{orchestration:.0f} s, {share:.1%}** (aim:
at most {aim:.0%}): {imports:.0f} s imports of programs, {around:.0f} s in stages around programs, {outside:.0f} s
outside stages (the command's own start, Dagster, asset checks).{fixed}

| stage | pipeline s | own work | imports | around | plain script s |
|---|---:|---:|---:|---:|---:|
"""
FIXED = """ Most of it is the same however long the programs work, so a short line shows a larger share than the default
line does (`--full`)."""


def page(told: Mapping[str, Any]) -> str:
    """Markdown: ratio, share, a row a stage."""
    machine = told["machine"]
    head = HEAD.format(
        full=" BENCH_ARGS=--full" if told["line"] != "short" else "",
        fixed=FIXED if told["line"] == "short" else "",
        date=told["date"],
        cpu=machine["cpu"],
        cores=machine["cores"],
        load=machine["load_15_min"],
        line=told["line"],
        wall=told["wall_s"],
        plain=told["plain_s"],
        ratio=told["ratio"],
        orchestration=told["wall_s"] - told["own_work_s"],
        share=told["orchestration_share"],
        aim=AIM,
        imports=told["imports_s"],
        around=told["around_in_stages_s"],
        outside=told["outside_stages_s"],
    )
    plain = dict(told["plain"])
    rows = [_row(stage, plain.pop(stage["asset"], None)) for stage in told["stages"]]
    rows += [f"| ({stage}) | | | | | {seconds:.1f} |" for stage, seconds in plain.items()]
    return head + "\n".join(rows) + "\n"


def _row(stage: Mapping[str, Any], plain: float | None) -> str:
    own, imports = stage["own_work"] - stage["imports"], stage["imports"]
    around = stage["seconds"] - stage["own_work"]
    cells = [f"{stage['seconds']:.1f}", f"{own:.1f}", f"{imports:.1f}", f"{around:.1f}"]
    return f"| {stage['asset']} | {' | '.join(cells)} | {'' if plain is None else f'{plain:.1f}'} |"
