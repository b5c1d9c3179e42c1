"""The table of ``docs/plan.md``: predicted beside actual, and what the errors come to."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plan.configurations import STEPS

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = """{begin}
## Measured

Made by `make plan-benchmark`: the 135M model, {count} configurations, each trained for {steps} steps by the training
program on the CPU. `fit`: looked at while the model was made; `test`: run
afterwards. Memory is the process's peak resident set; time is processor seconds of training and evaluation on one
thread, as the machine was shared.

| configuration | role | predicted GB | actual GB | error | in | predicted s | actual s | error |
|---|---|---:|---:|---:|---|---:|---:|---:|
"""


def section(measured: Sequence[Mapping[str, Any]]) -> str:
    """Markdown between the marks: a row a configuration, then the errors of each role."""
    rows = [_row(one) for one in measured]
    told = [_summary(role, [one for one in measured if one["role"] == role]) for role in ("fit", "test")]
    return (
        HEAD.format(begin=BEGIN, count=len(measured), steps=STEPS)
        + "\n".join([*rows, "", *filter(None, told), END])
        + "\n"
    )


def _row(one: Mapping[str, Any]) -> str:
    memory = f"{one['predicted_gb']:.2f} | {one['actual_gb']:.2f} | {error(one, 'gb'):+.0%} | {one['phase']}"
    time = f"{one['predicted_s']:.1f} | {one['actual_s']:.1f} | {error(one, 's'):+.0%}"
    return f"| {one['name']} | {one['role']} | {memory} | {time} |"


def error(one: Mapping[str, Any], unit: str) -> float:
    """Of the prediction, relative to what was measured."""
    return one[f"predicted_{unit}"] / one[f"actual_{unit}"] - 1


def _summary(role: str, measured: Sequence[Mapping[str, Any]]) -> str:
    if not measured:
        return ""
    parts = []
    for unit, what in (("gb", "memory"), ("s", "time")):
        errors = [abs(error(one, unit)) for one in measured]
        parts.append(f"{what}: median error {statistics.median(errors):.0%}, worst {max(errors):.0%}")
    return f"- {role} ({len(measured)}): " + "; ".join(parts)


def write_section(page: Path, text: str) -> None:
    """Put ``text`` in place of what stands in ``page`` between its marks (its first and last line), or at the end."""
    lines, whole = text.splitlines(), page.read_text()
    begin, end = lines[0], lines[-1]
    if begin in whole and end in whole:
        before, after = whole.split(begin)[0], whole.split(end)[1].lstrip("\n")
        page.write_text(before + text + after)
    else:
        page.write_text(whole.rstrip() + "\n\n" + text)
