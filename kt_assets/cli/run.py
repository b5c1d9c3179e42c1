"""``kt run``: what is stale of a line is made, with a live view, and a table at the end."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kt_assets.cli.lines import find_line
from kt_assets.cli.output import print_json
from kt_assets.cli.runner import Outcome, RunConfig, failed_checks, new_run_id, run_stages
from kt_assets.cli.view import RunView
from kt_assets.launchpad import OPTIONS
from kt_assets.line import Line
from kt_assets.plan.base_shape import base_shape
from kt_assets.plan.steps import is_training, require_line_fits
from kt_assets.staleness import Stale, stale_stages
from kt_resources.compute.devices import find_devices
from kt_resources.errors import RecipeError
from kt_resources.home import dagster_instance, ensure_home
from kt_resources.recipes.base_model import BASE
from kt_resources.store.store import SHORT, Store, alone

INTERRUPTED = 130


def run_command(name: str | None, select: Sequence[str] | None, allow_oversize: bool, as_json: bool) -> int:
    """Exit code 0 where everything is fresh at the end, 1 where something failed, 130 after Ctrl-C.

    Raises:
        ComputeError: a training cannot fit, whatever its rows; nothing is queued then.
    """
    line, home, console = find_line(name), ensure_home(), Console(stderr=True)
    store = Store(home.store)
    all_stale = stale_stages(line, store)
    stale = _selected(line, all_stale, select)
    if not stale:
        console.print(f"[green]✓[/] {line.name}: everything is fresh; nothing to make")
        return _end(line, store, all_stale, None, 0.0, as_json)
    console.print(f"[bold]{line.name}[/]: {escape(line.recipe.description)}")
    for absent, reason in line.absent.items():
        console.print(f"[dim]absent: {absent} ({escape(reason)})[/]")
    if not allow_oversize:
        require_line_fits(
            line.stages,
            list(stale),
            store,
            base_shape(line.stages[BASE], line.recipe.base_model, store),
            find_devices(),
        )
    from kt_assets.definitions import defs

    run_id, started = new_run_id(), time.monotonic()
    with (
        alone(home.root / "runs" / f"{line.name}.lock", line.name, "is running this line already"),
        dagster_instance(home) as instance,
        RunView(line, list(stale), store, instance, run_id),
    ):
        outcome = run_stages(line, list(stale), defs, instance, run_id, _options(line, list(stale), allow_oversize))
    _tell(console, line, outcome)
    return _end(line, store, all_stale, outcome, time.monotonic() - started, as_json)


def _options(line: Line, names: Sequence[str], allow_oversize: bool) -> RunConfig:
    """Run config of the named stages: the override of each training where it was asked for."""
    chosen = [line.stages[name] for name in names if allow_oversize and is_training(line.stages[name])]
    return {f"{stage.line}__{stage.name}": {"config": {OPTIONS: {"allow_oversize": True}}} for stage in chosen}


def _selected(line: Line, stale: dict[str, Stale], select: Sequence[str] | None) -> dict[str, Stale]:
    if select is None:
        return stale
    unknown = [name for name in select if name not in line.stages]
    if unknown:
        there = ", ".join(line.stages)
        raise RecipeError(f"{line.name} has no asset {unknown[0]!r}", where="--select", mend=f"there are: {there}")
    return {name: why for name, why in stale.items() if name in select}


def _tell(console: Console, line: Line, outcome: Outcome) -> None:
    if outcome.interrupted:
        console.print("[yellow]stopped[/]: what is made stays; `kt run` goes on from the last checkpoint")
    for step, message in outcome.failed.items():
        console.print(f"[red]✗ {step.removeprefix(line.name + '__')}[/]: {escape(message)}", highlight=False)


def _end(
    line: Line, store: Store, stale: dict[str, Stale], outcome: Outcome | None, seconds: float, as_json: bool
) -> int:
    code = 0 if outcome is None or outcome.success else INTERRUPTED if outcome.interrupted else 1
    stages = [_stage_row(line, store, name, stale) for name in line.stages]
    checks = failed_checks(line, store, list(line.stages))
    if as_json:
        failed = [dict(zip(("asset", "rule", "severity", "observed"), check, strict=True)) for check in checks]
        told = {"line": line.name, "success": code == 0, "seconds": round(seconds, 1), "stages": stages}
        print_json(told | {"failed_checks": failed, "errors": outcome.failed if outcome else {}, "absent": line.absent})
        return code
    console = Console()
    console.print(_table(stages))
    for asset, rule, severity, observed in checks:
        sign = "[red]✗[/]" if severity == "error" else "[yellow]![/]"
        console.print(f"{sign} {asset}: {rule}: {observed}", highlight=False)
    if outcome is not None:
        console.print(f"{len(outcome.made)} made in {seconds:.0f} s · store {store.root}", highlight=False)
    return code


def _stage_row(line: Line, store: Store, name: str, stale: dict[str, Stale]) -> dict[str, object]:
    artifact = store.current(line.stages[name].asset)
    manifest = artifact.manifest if artifact else None
    return {
        "asset": name,
        "version": manifest.data_version[:SHORT] if manifest else None,
        "seconds": manifest.seconds if manifest else None,
        "size_mb": round(sum(file.size for file in manifest.files.values()) / 1e6, 1) if manifest else None,
        "was": str(stale[name]) if name in stale else "fresh",
    }


def _table(stages: Sequence[dict[str, object]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title, justify in (
        ("asset", "left"),
        ("version", "left"),
        ("seconds", "right"),
        ("MB", "right"),
        ("was", "left"),
    ):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for stage in stages:
        shown = (stage[key] for key in ("asset", "version", "seconds", "size_mb", "was"))
        table.add_row(*("–" if value is None else str(value) for value in shown))
    return table
