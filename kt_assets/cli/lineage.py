"""``kt lineage``: which rows made this model, which models saw this row."""

from collections import Counter

from rich.console import Console
from rich.tree import Tree

from kt_assets.cli.lines import DEFAULT_LINE
from kt_assets.cli.output import print_json
from kt_resources.errors import StoreError
from kt_resources.home import ensure_home
from kt_resources.store.lineage import ancestors, sightings, source_rows, trained_ids
from kt_resources.store.store import SHORT, Artifact, Store


def find_artifact(store: Store, name: str) -> Artifact:
    """``[LINE/]ASSET[@VERSION]`` → the artifact; the current one where no version is given."""
    asset, _, version = name.partition("@")
    key = asset if "/" in asset else f"{DEFAULT_LINE}/{asset}"
    found = store.get(key, version) if version else store.current(key)
    if found is None:
        raise StoreError("has not been made", where=key, mend=f"made so far: {', '.join(store.assets()) or 'nothing'}")
    return found


def model_command(name: str, all_rows: bool, as_json: bool) -> int:
    """Print the artifacts that ``name`` was made from, and its source rows."""
    store = Store(ensure_home().store)
    model = find_artifact(store, name)
    rows = source_rows(store, model)
    if as_json:
        print_json(
            {
                "model": model.asset,
                "data_version": model.data_version,
                "artifacts": [
                    {"asset": a.asset, "data_version": a.data_version, "trained_rows": len(trained_ids(a))}
                    for a in ancestors(store, model)
                ],
                "num_source_rows": len(rows),
                "source_rows": [{"id": row.id, "origin": row.origin, "asset": row.asset} for row in rows],
            }
        )
        return 0
    console = Console(highlight=False)
    console.print(_tree(store, model))
    console.print(f"{len(rows)} source rows")
    for (asset, source), count in Counter((row.asset, row.origin.split(" ")[0].split(":")[0]) for row in rows).items():
        console.print(f"  {count:6d}  {source}  ({asset})", markup=False)
    for row in rows if all_rows else []:
        console.print(f"  {row.id}  {row.origin}", markup=False)
    return 0


def row_command(row_id: str, as_json: bool) -> int:
    """Print every model that saw the row."""
    found = sightings(Store(ensure_home().store), row_id)
    if as_json:
        models = [
            {
                "asset": sighting.artifact.asset,
                "data_version": sighting.artifact.data_version,
                "inherited": sighting.inherited,
                "as_rows": sighting.rows,
            }
            for sighting in found
        ]
        print_json({"row": row_id, "models": models})
        return 0
    console = Console(highlight=False)
    console.print(f"row {row_id} was seen by {len(found)} model(s)")
    for sighting in found:
        how = "through the model it was made from" if sighting.inherited else "trained on it"
        version = sighting.artifact.data_version[:SHORT]
        console.print(f"  {sighting.artifact.asset}  {version}  {how}, as {', '.join(sighting.rows[:3])}")
    return 0


def _tree(store: Store, model: Artifact) -> Tree:
    """The artifacts behind ``model``; one that stands higher up already is not unfolded again."""
    shown: set[str] = set()

    def branch(tree: Tree, artifact: Artifact) -> None:
        for role, parent in artifact.manifest.parents.items():
            made_from = store.get(parent.asset, parent.data_version)
            label = f"{role}: {_label(made_from)}"
            if made_from.data_version in shown:
                tree.add(f"{label} [dim](above)[/]")
                continue
            shown.add(made_from.data_version)
            branch(tree.add(label), made_from)

    root = Tree(_label(model))
    branch(root, model)
    return root


def _label(artifact: Artifact) -> str:
    rows = len(trained_ids(artifact))
    trained = f", trained on {rows} rows" if rows else ""
    return f"{artifact.asset} [dim]{artifact.data_version[:SHORT]}{trained}[/]"
