"""Lineage: which rows made this model, and which models saw this row."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kt_resources.errors import StoreError
from kt_resources.store.fingerprint import RUN_FOLDER
from kt_resources.store.store import Artifact, Store

TRAINED = "trained_rows.parquet"
"""The file in which a training artifact lists the ids of the rows that it trained on."""


@dataclass(frozen=True)
class Row:
    """A row as lineage sees it: its id, the ids that it was made from, where it came from, who holds it."""

    id: str
    parents: tuple[str, ...]
    origin: str
    asset: str


@dataclass(frozen=True)
class Sighting:
    """A model that saw a row: by training on it or on what became of it, or through the model it started from."""

    artifact: Artifact
    rows: tuple[str, ...]
    inherited: bool


def ancestors(store: Store, artifact: Artifact) -> list[Artifact]:
    """``artifact`` and everything that it was made from, each once, nearest first."""
    found: dict[tuple[str, str], Artifact] = {}
    waiting = [artifact]
    while waiting:
        here = waiting.pop(0)
        if (here.asset, here.data_version) in found:
            continue
        found[here.asset, here.data_version] = here
        waiting += [store.get(parent.asset, parent.data_version) for parent in here.manifest.parents.values()]
    return list(found.values())


def source_rows(store: Store, model: Artifact) -> list[Row]:
    """The rows without parents from which every row that ``model`` or its ancestors trained on was made."""
    line = ancestors(store, model)
    trained = {row for artifact in line for row in trained_ids(artifact)}
    rows = _rows(reversed(line))
    return sorted((rows[id_] for id_ in _roots(trained, rows)), key=lambda row: (row.asset, row.origin, row.id))


def sightings(store: Store, row_id: str) -> list[Sighting]:
    """Every model in the store that saw the row ``row_id``, oldest first.

    Raises:
        StoreError: no artifact of the store has a row of that id.
    """
    artifacts = store.artifacts()
    rows = _rows(artifacts)
    if row_id not in rows:
        mend = "`kt lineage MODEL --rows` lists the ids of a model's rows"
        raise StoreError("no artifact has this row", where=f"row {row_id}", mend=mend)
    family = _descendants(row_id, rows)
    direct = {id(artifact): sorted(family & trained_ids(artifact)) for artifact in artifacts}
    found = []
    for artifact in artifacts:
        if direct[id(artifact)]:
            found.append(Sighting(artifact, tuple(direct[id(artifact)]), inherited=False))
        elif (artifact.folder / "model").is_dir() or (artifact.folder / "model.gguf").exists():
            saw = {row for parent in ancestors(store, artifact) for row in family & trained_ids(parent)}
            if saw:
                found.append(Sighting(artifact, tuple(sorted(saw)), inherited=True))
    return found


def trained_ids(artifact: Artifact) -> set[str]:
    """The ids of the rows that this artifact itself was trained on; empty where it was not trained."""
    import pyarrow.parquet as parquet

    path = artifact.folder / TRAINED
    return set(parquet.read_table(path, columns=["id"])["id"].to_pylist()) if path.exists() else set()


def _rows(artifacts: Iterable[Artifact]) -> dict[str, Row]:
    """All rows of the artifacts' tables, sources first; a row belongs to the first that names its origin."""
    import pyarrow.parquet as parquet

    found: dict[str, Row] = {}
    for artifact in artifacts:
        for path in _tables(artifact.folder):
            names = parquet.read_schema(path).names
            if "id" not in names or "parents" not in names:
                continue
            columns = [name for name in ("id", "parents", "origin") if name in names]
            for row in parquet.read_table(path, columns=columns).to_pylist():
                known = found.get(row["id"])
                if known is None or not known.origin:
                    parents = tuple(row["parents"] or (known.parents if known else ()))
                    found[row["id"]] = Row(row["id"], parents, row.get("origin") or "", artifact.asset)
    return found


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.parent.name != RUN_FOLDER)


def _roots(ids: Iterable[str], rows: Mapping[str, Row]) -> set[str]:
    roots, seen, waiting = set(), set(), [id_ for id_ in ids if id_ in rows]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        parents = [parent for parent in rows[here].parents if parent in rows and parent != here]
        waiting += parents
        if not parents:
            roots.add(here)
    return roots


def _descendants(row_id: str, rows: Mapping[str, Row]) -> set[str]:
    children: dict[str, list[str]] = {}
    for row in rows.values():
        for parent in row.parents:
            children.setdefault(parent, []).append(row.id)
    found, waiting = {row_id}, [row_id]
    while waiting:
        fresh = [child for child in children.get(waiting.pop(), []) if child not in found]
        found.update(fresh)
        waiting += fresh
    return found
