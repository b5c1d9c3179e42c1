"""What differs between two evaluation reports: recipe, data, figures. Pure functions of what the store keeps."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kt_resources.evaluators.bootstrap import Metric, paired_difference
from kt_resources.evaluators.config import Bootstrap
from kt_resources.store.lineage import ancestors
from kt_resources.store.manifest import Manifest
from kt_resources.store.store import Artifact, Store
from kt_resources.store.tables import read_rows

ABSENT = "(absent)"

Sample = Mapping[str, Any]


def compare_reports(store: Store, first: Artifact, second: Artifact, options: Bootstrap) -> dict[str, Any]:
    """``recipe``, ``data`` and ``figures``: how ``second`` differs from ``first``.

    Args:
        first: an evaluation report; differences are ``second - first``, so that a positive gain is the second's.
        options: the bootstrap of the paired intervals.
    """
    one, other = _manifests(store, first), _manifests(store, second)
    return {
        "recipe": recipe_changes(_configs(one), _configs(other)),
        "data": data_changes(_facts(one), _facts(other)),
        "figures": figure_changes(_samples(first), _samples(second), options),
    }


def recipe_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows ``setting, first, second`` of every resolved setting that is not the same; ``asset.key.key`` names it."""
    return _changed(_flat(first), _flat(second), "setting")


def data_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows ``count, first, second`` of every count of rows (integers in the facts) that is not the same."""
    return _changed(_counts(first), _counts(second), "count")


def figure_changes(first: Sequence[Sample], second: Sequence[Sample], options: Bootstrap) -> list[dict[str, Any]]:
    """Rows ``model, task, first, second, difference, low, high, n``, paired over items asked of both in the same words.

    ``task`` is ``all`` or one family. ``first`` and ``second`` are accuracies on the paired items alone;
    ``num_unpaired`` counts the items that only one of the two asked in these words.
    """
    before, after = _scores(first), _scores(second)
    rows = []
    for model in (model for model in before if model in after):
        one, other = before[model], after[model]
        both = sorted(one.keys() & other.keys())
        unpaired = Counter(task for task, *_ in one.keys() ^ other.keys())
        tasks = sorted({task for task, *_ in both})
        for task in ["all", *tasks] if both else []:
            keys = [key for key in both if task in ("all", key[0])]
            row = _paired([one[key] for key in keys], [other[key] for key in keys], options)
            count = unpaired.total() if task == "all" else unpaired[task]
            rows.append({"model": model, "task": task, **row, "num_unpaired": count})
    return rows


def _paired(one: Sequence[float], other: Sequence[float], options: Bootstrap) -> dict[str, Any]:
    found: Metric = paired_difference(other, one, options)
    means = {"first": sum(one) / len(one), "second": sum(other) / len(other)}
    return {**means, "difference": found.value, "low": found.low, "high": found.high, "n": found.n}


def _scores(samples: Iterable[Sample]) -> dict[str, dict[tuple[str, str, str], float]]:
    found: dict[str, dict[tuple[str, str, str], float]] = {}
    for row in samples:
        found.setdefault(row["model"], {})[row["task"], row["id"], row["prompt"]] = row["score"]
    return found


def _manifests(store: Store, report: Artifact) -> dict[str, Manifest]:
    """Manifests of the report and all it came from, by the asset's name without its line."""
    made = [*ancestors(store, report), report]
    return {artifact.asset.partition("/")[2]: artifact.manifest for artifact in made}


def _configs(run: Mapping[str, Manifest]) -> dict[str, Any]:
    return {name: made.config for name, made in run.items()}


def _facts(run: Mapping[str, Manifest]) -> dict[str, Any]:
    return {name: made.facts for name, made in run.items()}


def _samples(report: Artifact) -> list[dict[str, Any]]:
    return list(read_rows(report.path("samples.parquet")))


def _counts(facts: Mapping[str, Any]) -> dict[str, int]:
    found = _flat(facts).items()
    return {name: value for name, value in found if type(value) is int and (".num_" in name or ".removed." in name)}


def _changed(first: Mapping[str, Any], second: Mapping[str, Any], what: str) -> list[dict[str, Any]]:
    names = dict.fromkeys([*first, *second])
    pairs = ((name, first.get(name, ABSENT), second.get(name, ABSENT)) for name in names)
    return [{what: name, "first": one, "second": other} for name, one, other in pairs if one != other]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping; ``a.b.0`` names the place."""
    if isinstance(value, Mapping) and value:
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and value:
        items = enumerate(value)
    else:
        return {name: value}
    return {
        key: leaf
        for part, inner in items
        for key, leaf in _flat(inner, f"{name}.{part}" if name else str(part)).items()
    }
