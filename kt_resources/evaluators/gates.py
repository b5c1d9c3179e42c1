"""Gates: the recipe's thresholds, judged on measured metrics and paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kt_resources.errors import EvaluateError
from kt_resources.evaluators.bootstrap import Metric
from kt_resources.evaluators.config import Evaluation, Gate, Severity
from kt_resources.strict import Strict

MAJORITY = "majority_answer"
LENIENT_BASE = "lenient_base"
FEW_SHOT_BASE = "few_shot_base"
UNTRAINED = (MAJORITY, LENIENT_BASE, FEW_SHOT_BASE)
"""Baselines that need no training: the family's commonest answer, and the base model's answers leniently read, to the
items as they are and after worked examples."""


class Compared(Protocol):
    """Measures differences of models on the same items."""

    def __call__(self, metric: str, model: str, baseline: str) -> Metric:
        """By how much ``model`` is better; positive is better."""
        ...

    def ratio(self, metric: str, model: str, baseline: str) -> Metric:
        """A perplexity of ``model`` over that of ``baseline``; below 1 is better."""
        ...


class GateVerdict(Strict):
    """Whether one gate is passed, and what was seen."""

    name: str
    passed: bool
    severity: Severity
    observed: str


def judge_gates(gates: Sequence[Gate], models: Sequence[Mapping[str, Any]], gains: Compared) -> list[GateVerdict]:
    """One verdict a gate.

    Args:
        models: rows with ``asset``, ``step`` and ``metrics`` (name → :class:`Metric`).
        gains: measures differences; called for gates with ``min_gain`` or ``max_ratio``.

    Raises:
        EvaluateError: a gate names a model or a metric that was not measured.
    """
    return [_judge(gate, models, gains) for gate in gates]


def forgetting_gates(config: Evaluation, base: str, shipped: Mapping[str, Any]) -> list[Gate]:
    """The gates that ``config.forgetting`` asks of the shipped model, as far as it was measured.

    A gate of the recipe's own with the same name stands in the place of one of these.
    """
    asked = config.forgetting
    own = {gate.name for gate in config.gates}
    common = {"model": shipped["asset"], "baseline": base, "severity": asked.severity}
    found = []
    if asked.max_perplexity_ratio is not None and "word_perplexity" in shipped["metrics"]:
        text = {"metric": "word_perplexity", "max_ratio": asked.max_perplexity_ratio}
        found.append(Gate(name="general_text_kept", **common, **text))
    if asked.max_ability_drop is not None and "general_ability" in shipped["metrics"]:
        ability = {"metric": "general_ability", "min_gain": -asked.max_ability_drop}
        found.append(Gate(name="general_ability_kept", **common, **ability))
    return [gate for gate in found if gate.name not in own and shipped["asset"] != base]


def find_model(models: Sequence[Mapping[str, Any]], name: str, gate: str) -> Mapping[str, Any]:
    """The model whose asset or step is ``name``; EvaluateError lists what there is."""
    for model in models:
        if name in (model["asset"], model["step"]):
            return model
    there = ", ".join(f"{model['asset']} ({model['step']})" for model in models)
    mend = f"name one of: {there}"
    raise EvaluateError(f"no model {name!r} was evaluated", where=f"evaluate.gates: {gate}", mend=mend)


def _judge(gate: Gate, models: Sequence[Mapping[str, Any]], gains: Compared) -> GateVerdict:
    model = find_model(models, gate.model, gate.name)
    metric = model["metrics"].get(gate.metric)
    if metric is None:
        mend = f"name one of: {', '.join(model['metrics'])}"
        raise EvaluateError(f"no metric {gate.metric!r}", where=f"evaluate.gates: {gate.name}", mend=mend)
    worse_end = gate.bound == "low"
    told, passed = [_told(f"{model['asset']} {gate.metric}", metric)], True
    if gate.min is not None:
        passed &= (metric.low if worse_end else metric.value) >= gate.min
        told.append(f"asked ≥ {gate.min:g}")
    if gate.max is not None:
        passed &= (metric.high if worse_end else metric.value) <= gate.max
        told.append(f"asked ≤ {gate.max:g}")
    if gate.baseline is not None and gate.baseline not in UNTRAINED:
        find_model(models, gate.baseline, gate.name)
    if gate.max_ratio is not None and gate.baseline is not None:
        ratio = gains.ratio(gate.metric, gate.model, gate.baseline)
        passed &= (ratio.high if worse_end else ratio.value) <= gate.max_ratio
        told += [_told(f"over that of {gate.baseline}", ratio), f"asked ≤ {gate.max_ratio:g}"]
    if gate.min_gain is not None and gate.baseline is not None:
        difference = gains(gate.metric, gate.model, gate.baseline)
        passed &= (difference.low if worse_end else difference.value) >= gate.min_gain
        told += [_told(f"gain over {gate.baseline}", difference), f"asked ≥ {gate.min_gain:g}"]
    return GateVerdict(name=gate.name, passed=bool(passed), severity=gate.severity, observed="; ".join(told))


def _told(what: str, metric: Metric) -> str:
    return f"{what} {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}] on {metric.n}"
