"""``kt compare``: what changed between two runs in recipe, data and figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from kt_assets.cli.lines import DEFAULT_LINE
from kt_assets.cli.output import print_json
from kt_assets.evaluate.compare import compare_reports
from kt_resources.errors import StoreError
from kt_resources.evaluators.config import Bootstrap
from kt_resources.home import ensure_home
from kt_resources.store.store import SHORT, Artifact, Store

REPORT = "evaluation_report"


def find_report(store: Store, name: str) -> Artifact:
    """The evaluation report that ``name`` means.

    Args:
        name: ``LINE``, ``LINE@VERSION``, or ``VERSION`` of the default line; VERSION is ``current``, ``previous``
            (the newest made before the current one) or the beginning of a data version.

    Raises:
        StoreError: there is no such report.
    """
    lines = [asset.partition("/")[0] for asset in store.assets() if asset.endswith(f"/{REPORT}")]
    line, at, version = name.partition("@")
    if not at and line not in lines:
        line, version = DEFAULT_LINE, name
    asset = f"{line}/{REPORT}"
    made = store.artifacts(asset) if line in lines else []
    current = store.current(asset)
    if not made or current is None:
        mend = f"lines with a report: {', '.join(lines) or 'none; kt run makes one'}"
        raise StoreError(f"no report is named {name!r}", where="kt compare", mend=mend)
    if version in ("", "current"):
        return current
    if version == "previous":
        return _previous(made, current)
    return store.get(asset, version)


def compare_command(first: str, second: str, as_json: bool) -> int:
    """Print what differs between two reports; exit code 0 whether anything does or not."""
    store = Store(ensure_home().store)
    one, other = find_report(store, first), find_report(store, second)
    found = compare_reports(store, one, other, Bootstrap())
    if as_json:
        print_json({"first": _named(one), "second": _named(other), **found})
        return 0
    console = Console(highlight=False)
    console.print(f"A  {_label(one)}\nB  {_label(other)}\n")
    _print(console, "Recipe", found["recipe"], "setting")
    _print(console, "Data", found["data"], "count")
    if not found["figures"]:
        console.print("[bold]Figures[/]: no model was asked the same items in both")
        return 0
    console.print("[bold]Figures[/]: accuracy on the items asked of both, B − A paired")
    console.print(_figures(found["figures"]))
    return 0


def _previous(made: Sequence[Artifact], current: Artifact) -> Artifact:
    before = [artifact for artifact in made if artifact.manifest.created_at < current.manifest.created_at]
    if not before:
        mend = "there is one report alone; kt run after a change makes another"
        raise StoreError("has no previous version", where=current.asset, mend=mend)
    return before[-1]


def _named(artifact: Artifact) -> dict[str, str]:
    made_at = artifact.manifest.created_at
    return {"asset": artifact.asset, "data_version": artifact.data_version, "created_at": made_at}


def _label(artifact: Artifact) -> str:
    return f"{artifact.asset}@{artifact.data_version[:SHORT]}  {artifact.manifest.created_at[:19]}"


def _print(console: Console, title: str, rows: Sequence[Mapping[str, Any]], key: str) -> None:
    if not rows:
        console.print(f"[bold]{title}[/]: the same\n")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in (key, "A", "B"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(row[key], str(row["first"]), str(row["second"]))
    console.print(f"[bold]{title}[/]")
    console.print(table)
    console.print()


def _figures(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("model", "task"):
        table.add_column(name)
    for name in ("A", "B", "B − A", "95 %", "items", "unpaired"):
        table.add_column(name, justify="right")
    for row in rows:
        interval = f"{100 * row['low']:+.1f} … {100 * row['high']:+.1f}"
        means = (f"{row['first']:.1%}", f"{row['second']:.1%}", f"{100 * row['difference']:+.1f}")
        table.add_row(row["model"], row["task"], *means, interval, str(row["n"]), str(row["num_unpaired"]))
    return table
