"""What the report shows, in plain values; the asset fills it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

UNTRAINED = {
    "lenient_base": "base, lenient",
    "few_shot_base": "base + examples",
    "majority_answer": "commonest answer",
}
"""What needs no training, as a person reads it: both answers of the base model count in whatever form they come."""


@dataclass(frozen=True)
class ReportData:
    """The content of one report. Only ``line`` and ``models`` must be there; a section without content is left out.

    Attributes:
        models: rows ``asset, step, data_version, made_from, metrics`` (name → ``value, low, high, n``); base first,
            ``gguf_model`` (else the last) is what ships.
        comparisons: rows ``model, baseline, metric, value, low, high, n``: paired gains over the base.
        baselines: name of :data:`UNTRAINED`, alone or with ``/<family>`` → ``value, low, high, n``.
        gates: rows ``name, passed, severity, observed``.
        num_examples: worked examples that the base model was asked after, for ``few_shot_base``.
        samples: rows ``model, task, id, question, completion, answer, score, stopped``.
        num_samples: how many held-out prompts are shown with every model's answer.
        seed: of the choice of these prompts.
        steps: rows ``asset, objective, update, start`` (asset) and ``facts`` of each training step.
        curves: asset → rows ``step`` and any of ``loss, eval_loss, reward, kl, completion_length``.
        curation: ``raw`` and ``kept`` (rows), ``removed`` (reason → rows).
        checks: rows ``asset, name, passed, severity`` and, if known, ``observed``.
        timings: rows ``asset, seconds, own_work_seconds`` and, if known, ``peak_memory_gb, tokens_per_second``.
        artifacts: rows ``asset, version, parents`` (assets), ``size_mb``.
        recipe: the recipe's text.
        gguf: ``file, size_mb, quant`` and, if known, ``bits_per_weight`` and ``path``.
        made: when and where, one line for the foot of the page.
    """

    line: str
    models: Sequence[Row]
    comparisons: Sequence[Row] = ()
    baselines: Mapping[str, Row] = field(default_factory=dict)
    gates: Sequence[Row] = ()
    num_examples: int = 0
    samples: Sequence[Row] = ()
    num_samples: int = 6
    seed: int = 0
    steps: Sequence[Row] = ()
    curves: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    curation: Row = field(default_factory=dict)
    checks: Sequence[Row] = ()
    timings: Sequence[Row] = ()
    artifacts: Sequence[Row] = ()
    recipe: str = ""
    gguf: Row = field(default_factory=dict)
    made: str = ""

    @property
    def base(self) -> Row:
        """The model that the others are compared with."""
        return self.models[0]

    @property
    def shipped(self) -> Row:
        """The model that leaves the house."""
        return next((model for model in self.models if model["asset"] == "gguf_model"), self.models[-1])


def report_json(data: ReportData, report: str) -> dict[str, Any]:
    """What ``kt report --json`` prints.

    Args:
        report: path of the HTML file.
    """
    return {
        "line": data.line,
        "models": [_only(model, "asset", "step", "data_version", "metrics") for model in data.models],
        "baselines": {name: dict(metric) for name, metric in data.baselines.items()},
        "comparisons": [dict(row) for row in data.comparisons],
        "checks": [_only(check, "asset", "name", "passed", "severity") for check in data.checks],
        "timings": [_only(timing, "asset", "seconds", "own_work_seconds") for timing in data.timings],
        "report": report,
    }


def _only(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}
