"""The live view of a run: stages, how far each is, and an estimate of the time left."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from kt_assets.line import Line
from kt_resources.store.store import Store

STATES = {
    dg.DagsterEventType.STEP_START: "running",
    dg.DagsterEventType.STEP_SUCCESS: "done",
    dg.DagsterEventType.STEP_FAILURE: "failed",
}
SIGNS = {"waiting": "·", "running": "▶", "done": "✓", "failed": "✗"}


@dataclass
class Row:
    """One stage in the view; ``expected_s`` is what it took last time, where there was one."""

    name: str
    expected_s: float | None = None
    state: str = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    fraction: float = 0.0
    message: str = ""

    def left_s(self, now: float) -> float | None:
        """Seconds left by the stage's own progress, else by what it took last time; None where nobody knows."""
        if self.state in ("done", "failed"):
            return 0.0
        passed = now - self.started if self.state == "running" else 0.0
        if self.fraction > 0.05 and passed > 5:
            return passed * (1 - self.fraction) / self.fraction
        return max(self.expected_s - passed, 0.0) if self.expected_s is not None else None


class RunView:
    """Shows a run while it goes on, from the run's events and the programs' progress files."""

    def __init__(
        self, line: Line, names: Sequence[str], store: Store, instance: dg.DagsterInstance, run_id: str
    ) -> None:
        self.line, self.store, self.instance, self.run_id = line, store, instance, run_id
        self.rows = {name: Row(name, _last_seconds(store, line.stages[name].asset)) for name in names}
        self.console = Console(stderr=True)
        self._cursor: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "RunView":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        if not self.console.is_terminal:
            self._watch_plainly()
            return
        with Live(console=self.console, refresh_per_second=4, transient=True) as live:
            while not self._stop.wait(0.5):
                self.refresh()
                live.update(self.render(time.time()))

    def _watch_plainly(self) -> None:
        shown: dict[str, str] = {}
        ending = False
        while not ending:
            ending = self._stop.wait(1.0)
            self.refresh()
            for name, row in self.rows.items():
                if row.state != shown.get(name, "waiting"):
                    shown[name] = row.state
                    seconds = f" {row.seconds:.0f} s" if row.state in ("done", "failed") else ""
                    self.console.print(f"{SIGNS[row.state]} {name} {row.state}{seconds}", highlight=False)

    def refresh(self) -> None:
        """Bring the rows up to date; a history that cannot be read just now (a full disk) leaves them as they are."""
        try:
            found = self.instance.get_records_for_run(self.run_id, cursor=self._cursor, of_type=set(STATES))
        except SQLAlchemyError:
            return
        self._cursor = found.cursor
        steps = {f"{self.line.name}__{name}": row for name, row in self.rows.items()}
        for record in found.records:
            event = record.event_log_entry
            row = steps.get(event.step_key or "")
            if row is None or event.dagster_event is None:
                continue
            row.state = STATES[event.dagster_event.event_type]
            if row.state == "running":
                row.started = event.timestamp
            else:
                row.seconds = event.timestamp - row.started
        for row in self.rows.values():
            if row.state == "running":
                last = _last_progress(self.store.root / "work" / self.line.stages[row.name].asset, row.started)
                row.fraction = min(last["done"] / last["total"], 1.0) if last and last["total"] else 0.0
                row.message = _told(last) if last else ""

    def render(self, now: float) -> Group:
        """The table and the line below it."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("", "stage", "progress", "time", ""):
            table.add_column(title)
        for row in self.rows.values():
            passed = now - row.started if row.state == "running" else row.seconds
            bar = _bar(1.0 if row.state == "done" else row.fraction)
            colour = {"running": "bold cyan", "done": "green", "failed": "red", "waiting": "dim"}[row.state]
            table.add_row(
                Text(SIGNS[row.state], style=colour),
                Text(row.name, style=colour),
                Text(bar, style=colour),
                _clock(passed) if row.state != "waiting" else "",
                Text(row.message[:60], style="dim"),
            )
        left = [row.left_s(now) for row in self.rows.values()]
        known = sum(seconds for seconds in left if seconds is not None)
        unknown = sum(seconds is None for seconds in left)
        more = f" and {unknown} stage(s) never timed" if unknown else ""
        return Group(
            table, Text(f"about {_clock(known)} left{more} · Ctrl-C stops; `kt run` goes on from there", style="dim")
        )


def _last_seconds(store: Store, asset: str) -> float | None:
    artifact = store.current(asset)
    return artifact.manifest.seconds if artifact else None


def _last_progress(folder: Path, since: float) -> dict[str, Any] | None:
    """The newest report of a program that works below ``folder``; None where there is none since ``since``."""
    files = [path for path in folder.glob("*/out/run/progress.jsonl") if path.stat().st_mtime >= since]
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        lines = path.read_bytes().splitlines()
        if lines:
            try:
                return json.loads(lines[-1])
            except ValueError:
                continue
    return None


def _told(progress: dict[str, Any]) -> str:
    figures = " ".join(f"{name} {value:.3g}" for name, value in progress.get("metrics", {}).items())
    return f"{progress['message']} {progress['done']:g}/{progress['total']:g} {figures}".strip()


def _bar(fraction: float, width: int = 16) -> str:
    filled = round(fraction * width)
    return "━" * filled + "╌" * (width - filled)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
