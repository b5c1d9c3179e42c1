"""The graph of artifacts as rails: one row an artifact, newest last, as ``git log --graph`` draws it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from markupsafe import Markup

from kt_assets.evaluate.report.data import Row
from kt_resources.errors import EvaluateError

LANE, ROW = 18, 44
"""Width of a lane and height of a row, in CSS pixels."""

OVERHANG = 200
"""How far lines run on below a row, for rows whose text needs more lines; the page cuts them at the row's end."""


@dataclass(frozen=True)
class Rail:
    """Where an artifact's dot stands and which lines pass.

    Attributes:
        lane: of the dot, from the left, from 0.
        above, below: lines in the upper and the lower half of the row, each a lane at the row's edge and one at its
            middle.
    """

    asset: str
    lane: int
    above: tuple[tuple[int, int], ...]
    below: tuple[tuple[int, int], ...]


def ordered(artifacts: Sequence[Row]) -> list[Row]:
    """The artifacts, parents before children; those of equal standing in the order given."""
    by_name = {artifact["asset"]: artifact for artifact in artifacts}
    graph = TopologicalSorter({name: [p for p in row["parents"] if p in by_name] for name, row in by_name.items()})
    try:
        return [by_name[name] for name in graph.static_order()]
    except CycleError as error:
        raise EvaluateError(f"artifacts are each other's parents: {error.args[1]}", where="report") from error


def direct_parents(artifacts: Sequence[Row]) -> dict[str, list[str]]:
    """Each artifact's parents without those that another parent descends from (the transitive reduction)."""
    ancestors: dict[str, set[str]] = {}
    direct = {}
    names = {artifact["asset"] for artifact in artifacts}
    for artifact in ordered(artifacts):
        parents = [parent for parent in artifact["parents"] if parent in names]
        through = set().union(*(ancestors[parent] for parent in parents))
        direct[artifact["asset"]] = [parent for parent in parents if parent not in through]
        ancestors[artifact["asset"]] = through | set(parents)
    return direct


def rails(artifacts: Sequence[Row]) -> list[Rail]:
    """The rows to draw, parents above children; only direct parents are joined."""
    parents = direct_parents(artifacts)
    waiting = {name: sum(name in ps for ps in parents.values()) for name in parents}
    lanes: list[str | None] = []
    rows = []
    for name in parents:
        before = list(lanes)
        for parent in parents[name]:
            waiting[parent] -= 1
        freed = [lane for lane, held in enumerate(before) if held in parents[name] and not waiting[held]]
        for lane in freed:
            lanes[lane] = None
        lane = _free_lane(lanes, freed)
        passing = [index for index, held in enumerate(lanes) if held is not None]
        joined = [index for index, held in enumerate(before) if held in parents[name]]
        above = [(index, index) for index in passing] + [(index, lane) for index in joined]
        lanes[lane] = name if waiting[name] else None
        below = [(index, index) for index in passing] + ([(lane, lane)] if waiting[name] else [])
        rows.append(Rail(name, lane, tuple(dict.fromkeys(above)), tuple(below)))
    return rows


def _free_lane(lanes: list[str | None], preferred: Sequence[int]) -> int:
    """A lane that nothing holds: a preferred one, else the leftmost, else a new one (appended to ``lanes``)."""
    free = [*preferred, *(lane for lane, held in enumerate(lanes) if held is None)]
    if free:
        return free[0]
    lanes.append(None)
    return len(lanes) - 1


def rail_svg(rail: Rail, num_lanes: int) -> Markup:
    """The row's drawing, ``num_lanes`` lanes wide."""
    middle = ROW / 2
    above = [_path(_x(edge), 0, _x(inner), middle) for edge, inner in rail.above]
    below = [_path(_x(inner), middle, _x(edge), ROW + OVERHANG) for edge, inner in rail.below]
    dot = f'<circle class="dot" cx="{_x(rail.lane):g}" cy="{middle:g}" r="5"/>'
    box = f'width="{num_lanes * LANE}" height="{ROW}" viewBox="0 0 {num_lanes * LANE} {ROW}"'
    return Markup(f'<svg class="rail" {box} aria-hidden="true">{"".join(above + below)}{dot}</svg>')


def num_lanes(rows: Sequence[Rail]) -> int:
    """How many lanes the drawing needs."""
    return 1 + max((lane for row in rows for lane in (row.lane, *(a for a, _ in row.above))), default=0)


def _x(lane: int) -> float:
    return LANE * (lane + 0.5)


def _path(x: float, y: float, to_x: float, to_y: float) -> str:
    if x == to_x:
        return f'<path d="M{x:g} {y:g}V{to_y:g}"/>'
    return f'<path d="M{x:g} {y:g}C{x:g} {to_y:g} {x:g} {to_y:g} {to_x:g} {to_y:g}"/>'


def short_versions(artifacts: Sequence[Row]) -> Mapping[str, str]:
    """Asset → the first 8 characters of its data version."""
    return {artifact["asset"]: str(artifact["version"])[:8] for artifact in artifacts}
