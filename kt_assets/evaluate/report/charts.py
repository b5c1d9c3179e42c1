"""Small SVG charts without text: lines and dots whose colours come from the page's style sheet.

Words and numbers stand beside them in HTML, so that they keep their size on any screen.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from kt_assets.evaluate.report.data import Row

WIDTH, HEIGHT = 300.0, 100.0


class Scale(NamedTuple):
    """A scale from ``low`` to ``high``, with a dashed upright at ``mark`` (none where None)."""

    low: float
    high: float
    mark: float | None = None

    def place(self, value: float) -> str:
        """Where ``value`` stands, in percent of the width; what lies beyond an end stands at that end."""
        return f"{100 * min(max((value - self.low) / (self.high - self.low), 0), 1):.2f}%"


def interval(metric: Row, scale: Scale) -> Markup:
    """A dot at ``value`` on a line from ``low`` to ``high``."""
    place = scale.place
    parts = [f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>' for x in (0, 25, 50, 75, 100)]
    if scale.mark is not None:
        parts.append(f'<line class="mark" x1="{place(scale.mark)}" x2="{place(scale.mark)}" y1="0" y2="100%"/>')
    low, high = place(metric["low"]), place(metric["high"])
    parts.append(f'<line class="range" x1="{low}" x2="{high}" y1="50%" y2="50%"/>')
    parts.append(f'<circle class="dot" cx="{place(metric["value"])}" cy="50%" r="5"/>')
    return Markup(f'<svg class="interval" aria-hidden="true">{"".join(parts)}</svg>')


def scale_top(values: Sequence[float]) -> float:
    """The smallest of 10, 20, 40, 60, 80 and 100 % that holds all ``values`` (shares)."""
    highest = max(values, default=1.0)
    return next((top for top in (0.1, 0.2, 0.4, 0.6, 0.8) if highest <= top), 1.0)


Point = tuple[float, float]


def curve(series: Sequence[Sequence[Point]]) -> Markup:
    """Lines over one common pair of axes, stretched to the box that the page gives them.

    Args:
        series: points ``(x, y)`` of each line, in the order of x; the first is drawn strongest.
    """
    points = [point for line in series for point in line]
    (left, right), (bottom, top) = (extent([point[axis] for point in points]) for axis in (0, 1))
    lines: list[str] = []
    for number, line in enumerate(series):
        places = [
            (WIDTH * (x - left) / (right - left), HEIGHT - 4 - (HEIGHT - 8) * (y - bottom) / (top - bottom))
            for x, y in thinned(line)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.insert(0, f'<polyline class="line line-{number}" points="{path}"/>')
    grid = "".join(f'<line class="grid" x1="0" x2="{WIDTH:g}" y1="{y:g}" y2="{y:g}"/>' for y in (4, 50, 96))
    box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none"'
    return Markup(f'<svg class="curve" {box} aria-hidden="true">{grid}{"".join(lines)}</svg>')


def extent(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest of ``values``, set apart where they are one."""
    low, high = min(values), max(values)
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def thinned(line: Sequence[Point], most: int = 200) -> Sequence[Point]:
    """At most about ``most`` of the points, evenly chosen, the last among them."""
    step = max(1, -(-len(line) // most))
    return [*line[:-1:step], line[-1]]
