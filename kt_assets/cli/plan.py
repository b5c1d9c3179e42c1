"""``kt plan``: what will run of a line, with memory by part, time, disk and cost, before anything does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kt_assets.cli.lines import find_line
from kt_assets.cli.output import print_json
from kt_assets.plan.base_shape import base_shape
from kt_assets.plan.line_plan import LinePlan, StagePlan, plan_line
from kt_assets.plan.times import SpeedSource
from kt_resources.compute.catalog import load_prices, named_device
from kt_resources.compute.devices import Device, find_devices
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.needs import Precision
from kt_resources.compute.speed.calibration import Speed, calibrated_speed
from kt_resources.home import ensure_home
from kt_resources.recipes.base_model import BASE
from kt_resources.store.store import Store
from kt_resources.trainers.fitting import what_fits


def plan_command(
    name: str | None, device: str | None, model: str | None, prices: Path | None, calibrate: bool, as_json: bool
) -> int:
    """Print the plan; exit code 1 where a training that would run cannot fit, else 0."""
    line, store = find_line(name), Store(ensure_home().store)
    console = Console(stderr=True)
    devices = planned_devices(device)

    def measure(device: Device, shape: ModelShape, precision: Precision) -> Speed:
        with console.status("timing this device, once"):
            return calibrated_speed(store.root, device, shape, precision, anew=calibrate)

    speeds = SpeedSource(measure, recalls=model is None and devices[0] in find_devices())
    shape = base_shape(line.stages[BASE], line.recipe.base_model, store, model)
    plan = plan_line(line, store, shape, devices, speeds, load_prices(prices))
    if as_json:
        print_json(plan_json(plan))
    else:
        print_plan(Console(highlight=False), plan)
    return 1 if any(stage.refused for stage in plan.to_make) else 0


def planned_devices(name: str | None) -> list[Device]:
    """The devices at hand, or one named, eight times over: a node of them, so that steps on several can be planned.

    This machine's own CPU stands beside them, for what asks for a CPU.
    """
    if name is None:
        return find_devices()
    device = named_device(name)
    if device.kind == "cpu":
        return [device]
    node = [device.model_copy(update={"index": index}) for index in range(8)]
    return [*node, *(own for own in find_devices() if own.kind == "cpu")]


def plan_json(plan: LinePlan) -> dict[str, Any]:
    """The whole plan as JSON values."""
    return {
        "line": plan.line,
        "model": {"name": plan.shape.name, "parameters": plan.shape.parameters},
        "device": plan.device.model_dump(mode="json"),
        "stages": [_stage_json(stage) for stage in plan.stages],
        "absent": dict(plan.absent),
        "seconds": round(plan.seconds, 1),
        "disk_gb": round(plan.disk_gb, 3),
        "cost": plan.cost,
        "prices": {"currency": plan.prices.currency, "as_of": plan.prices.as_of, "source": plan.prices.source},
        "fits": all(stage.fits for stage in plan.to_make),
    }


def _stage_json(stage: StagePlan) -> dict[str, Any]:
    memory = stage.memory
    return {
        "asset": stage.name,
        "runs": bool(stage.why),
        "why": stage.why or "fresh",
        "device": stage.device,
        "precision": stage.precision,
        "memory_gb": round(memory.peak_gb, 3) if memory else None,
        "memory_phase": memory.phase if memory else None,
        "memory_parts_gb": {part: round(size, 3) for part, size in memory.parts_gb.items()} if memory else {},
        "memory_by_phase_gb": {phase: round(size, 3) for phase, size in memory.peaks_gb.items()} if memory else {},
        "host_gb": stage.host_gb,
        "usable_gb": stage.usable_gb,
        "last_gb": stage.last_gb,
        "rows_known": stage.known_rows,
        "fits": stage.fits,
        "refused": stage.refused,
        "nearest": str(stage.nearest) if stage.nearest else None,
        "seconds": round(stage.seconds.total, 1) if stage.seconds else None,
        "seconds_by_phase": dict(stage.seconds.by_phase) if stage.seconds else {},
        "seconds_from": stage.seconds.source if stage.seconds else None,
        "disk_gb": stage.disk_gb,
        "cost": stage.cost,
    }


def print_plan(console: Console, plan: LinePlan) -> None:
    """Two tables, what will run and what each training holds, then what is absent, does not fit, and the sums."""
    device, shape = plan.device, plan.shape
    console.print(
        f"[bold]{plan.line}[/] · {shape.name}, {_count(shape.parameters)} parameters · "
        f"{device.name}, {device.memory_gb:g} GB"
    )
    sources = list(dict.fromkeys(stage.seconds.source for stage in plan.stages if stage.seconds))
    console.print(_stages(plan, sources))
    for number, source in enumerate(sources, start=1):
        console.print(f"[dim]\\[{number}] time from: {source}[/]")
    trainings = [stage for stage in plan.stages if stage.memory]
    if trainings:
        console.print("\n[bold]Memory of each training[/], GB at its peak")
        console.print(_memory(trainings))
    for stage in trainings:
        _print_misfit(console, stage)
    for name, reason in plan.absent.items():
        console.print(f"[dim]absent: {name} ({reason})[/]")
    _print_sums(console, plan)


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


def _stages(plan: LinePlan, sources: Sequence[str]) -> Table:
    table = _table("asset", "will run", ("memory", True), ("time", True), ("disk GB", True), ("cost", True))
    for stage in plan.stages:
        memory = "" if stage.memory is None else f"{'' if stage.known_rows else '≤ '}{stage.memory.peak_gb:.1f}"
        time = (
            f"{duration(stage.seconds.total)} \\[{sources.index(stage.seconds.source) + 1}]" if stage.seconds else "–"
        )
        cost = "" if stage.cost is None else f"{stage.cost:.2f}"
        disk = "" if stage.disk_gb is None else f"{stage.disk_gb:.2f}"
        style = "red" if stage.refused else "yellow" if not stage.fits else None if stage.why else "dim"
        table.add_row(stage.name, stage.why or "fresh", memory, time, disk, cost, style=style)
    return table


def _memory(stages: Sequence[StagePlan]) -> Table:
    table = _table("asset", ("peak", True), ("last run", True), ("usable", True), "in", "made of")
    for stage in stages:
        assert stage.memory
        parts = sorted(stage.memory.parts_gb.items(), key=lambda part: -part[1])
        made_of = ", ".join(f"{part.replace('_', ' ')} {size:.2f}" for part, size in parts if size >= SHOWN_GB)
        if stage.host_gb:
            made_of += f"; beside the device {stage.host_gb:.1f} of the machine's memory"
        last = f"{stage.last_gb:.2f}" if stage.last_gb else ""
        peaks = (f"{stage.memory.peak_gb:.2f}", last, f"{stage.usable_gb:.1f}")
        table.add_row(stage.name, *peaks, stage.memory.phase, made_of)
    return table


SHOWN_GB = 0.005
"""Parts of less are not worth a word."""


def _table(*columns: str | tuple[str, bool]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        title, right = column if isinstance(column, tuple) else (column, False)
        table.add_column(title, justify="right" if right else "left", no_wrap=title != "made of")
    return table


def _print_misfit(console: Console, stage: StagePlan) -> None:
    if stage.fits:
        return
    if stage.refused:
        console.print(f"[red]✗ {stage.name} does not fit[/]\n  → ", end="")
    else:
        console.print(f"[yellow]! {stage.name} may not fit: its rows may be so long[/]\n  → ", end="")
    console.print(what_fits(stage.nearest, stage.known_rows), markup=False)


def _print_sums(console: Console, plan: LinePlan) -> None:
    unknown = [stage.name for stage in plan.to_make if stage.seconds is None]
    cost = "" if plan.cost is None else f" · {plan.cost:.2f} {plan.prices.currency} (prices of {plan.prices.as_of})"
    console.print(
        f"\n{len(plan.to_make)} of {len(plan.stages)} stages will run: "
        f"{duration(plan.seconds)}, {plan.disk_gb:.2f} GB of disk{cost}"
    )
    if unknown:
        console.print(f"[dim]not in the time, as nothing tells theirs: {', '.join(unknown)}[/]")
    if any(not stage.known_rows for stage in plan.stages):
        console.print("[dim]≤: the rows are not made yet; in memory they may be as long as max_seq_len lets them[/]")


def duration(seconds: float | None) -> str:
    """Seconds as people say them.

    >>> duration(75), duration(7300), duration(None)
    ('1 min 15 s', '2 h 1 min', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
