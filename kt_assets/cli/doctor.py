"""``kt doctor``: does the store hold what it says, and does Dagster know the same?"""

import shutil
from typing import Any

import dagster as dg
from rich.console import Console

from kt_assets.cli.output import print_json
from kt_assets.cli.runner import close_dead_runs
from kt_resources.home import dagster_instance, ensure_home
from kt_resources.store.store import SHORT, Store


def doctor_command(as_json: bool) -> int:
    """Exit code 1 where an artifact is damaged."""
    home = ensure_home()
    store = Store(home.store)
    with dagster_instance(home) as instance:
        found = examine(store, instance) | {"closed_runs": close_dead_runs(instance)}
    if as_json:
        print_json(found)
    else:
        _print(found)
    return 1 if found["damaged"] else 0


def examine(store: Store, instance: dg.DagsterInstance) -> dict[str, Any]:
    """Damaged artifacts, current versions that Dagster does not know, unfinished makings and their size."""
    artifacts = store.artifacts()
    damaged = {f"{a.asset}@{a.data_version[:SHORT]}": wrong for a in artifacts if (wrong := store.verify(a))}
    unknown = []
    for asset in store.assets():
        current = store.current(asset)
        event = instance.get_latest_materialization_event(dg.AssetKey(asset.split("/")))
        tags = (event.asset_materialization.tags or {}) if event and event.asset_materialization else {}
        if current and tags.get("dagster/data_version") != current.data_version:
            unknown.append(asset)
    unfinished = {
        path.relative_to(store.root / "work").as_posix(): round(_size_mb(path), 1)
        for path in sorted((store.root / "work").glob("*/*/*"))
        if any(path.glob("scratch/*"))
    }
    return {
        "store": str(store.root),
        "artifacts": len(artifacts),
        "damaged": damaged,
        "not_what_dagster_knows": unknown,
        "unfinished_mb": unfinished,
        "free_gb": round(shutil.disk_usage(store.root if store.root.exists() else store.root.parent).free / 1e9, 1),
    }


def _size_mb(folder: Any) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"{found['artifacts']} artifacts in {found['store']}, {found['free_gb']} GB free")
    for name, wrong in found["damaged"].items():
        console.print(f"[red]✗[/] {name}: {', '.join(wrong)} differ from the manifest; make it again with `rebuild`")
    for asset in found["not_what_dagster_knows"]:
        console.print(f"[yellow]![/] {asset}: Dagster's latest is another version; materialize it once more")
    for name, size in found["unfinished_mb"].items():
        console.print(f"[dim]unfinished: {name} ({size} MB); the next run goes on from it[/]")
    if not found["damaged"] and not found["not_what_dagster_knows"]:
        console.print("[green]✓[/] nothing is damaged")
