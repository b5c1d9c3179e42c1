"""Training curves as one image inside markdown, for the metadata of an asset."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

COLUMNS = {
    "loss": ("loss", "eval_loss"),
    "reward": ("reward", "eval_reward"),
    "KL to the reference": ("kl",),
    "answer length, tokens": ("completion_length",),
}
"""Charts of a training step: title → columns of the curve that share one; the first is drawn strongest."""

INK, SOFT, STRONG, SECOND = "#5b646b", "#d9dcdf", "#0f8a7e", "#c2702d"


def curve_markdown(rows: Sequence[Row], columns: Mapping[str, Sequence[str]] = COLUMNS) -> str:
    """Markdown with one PNG (a data URL): a small chart a title of ``columns``; a sentence where nothing was logged.

    Args:
        rows: of ``curve.jsonl``: ``step`` and any of the columns.

    The ground is transparent and the inks are middle tones, as Dagster's UI is light or dark.
    """
    charts = curve_charts(rows, columns)
    if not charts:
        return "Nothing was logged twice, so there is no curve."
    image = base64.b64encode(curve_png(charts)).decode("ascii")
    return f"![{', '.join(charts)} by step](data:image/png;base64,{image})"


def curve_charts(rows: Sequence[Row], columns: Mapping[str, Sequence[str]] = COLUMNS) -> dict[str, dict[str, Any]]:
    """Title → column → ``(steps, values)``, of what was logged at least twice; NaN and infinities are left out."""
    charts = {}
    for title, names in columns.items():
        lines = {name: line for name in names if len((line := curve_series(rows, name))[0]) > 1}
        if lines:
            charts[title] = lines
    return charts


def curve_series(rows: Sequence[Row], column: str) -> tuple[list[float], list[float]]:
    """``(steps, values)`` of the rows that have a finite ``column``."""
    points = [(float(row["step"]), float(row[column])) for row in rows if row.get(column) is not None]
    finite = [(step, value) for step, value in points if abs(value) < float("inf")]
    return [step for step, _ in finite], [value for _, value in finite]


def curve_png(charts: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]]) -> bytes:
    """One PNG, at most two charts a row; see :func:`curve_charts`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = min(2, len(charts))
    height = -(-len(charts) // width)
    figure = Figure(figsize=(4.4 * width, 2.5 * height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(height, width, squeeze=False).flat
    for place, (title, lines) in zip(axes, charts.items(), strict=False):
        _draw(place, title, lines)
    for place in list(axes)[len(charts) :]:
        place.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Any, title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    for (name, (steps, values)), colour in zip(lines.items(), (STRONG, SECOND), strict=False):
        axes.plot(steps, values, color=colour, linewidth=1.6, label=name.replace("_", " "))
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("step", fontsize=8, color=INK)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    axes.grid(axis="y", color=SOFT, linewidth=0.6, alpha=0.6)
    for side in axes.spines.values():
        side.set_visible(False)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
