"""The report as one HTML file: no script, no font, no image from elsewhere; every text escaped."""

import math
from pathlib import Path

import jinja2

from kt_assets.evaluate.report.data import ReportData, Row
from kt_assets.evaluate.report.view import view

FOLDER = Path(__file__).parent


def render_report(data: ReportData) -> str:
    """The HTML of the report.

    Raises:
        EvaluateError: artifacts that are each other's parents.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {f.__name__: f for f in (percent, figure, duration, size, metric, interval)}
    style = (FOLDER / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(style=style, **view(data))


def percent(share: float, signed: bool = False) -> str:
    """A share in percent: whole numbers, one digit below 10 %."""
    value = 100 * share
    digits = 0 if abs(value) >= 9.95 or value == 0 else 1
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def figure(value: float | None) -> str:
    """Three significant digits, without an exponent where it can be."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-4:
        return f"{value:.2e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def metric(value: float, name: str) -> str:
    """A metric's value: shares in percent, the rest as a figure."""
    return figure(value) if "perplexity" in name else f"{percent(value)}\N{NO-BREAK SPACE}%"


def interval(row: Row, name: str) -> str:
    """``low to high`` of a metric, with its unit once."""
    if "perplexity" in name:
        return f"{figure(row['low'])} to {figure(row['high'])}"
    return f"{percent(row['low'])} to {percent(row['high'])}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """``4.2 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(megabytes: float | None) -> str:
    """Kilobytes, megabytes or gigabytes (10^3, 10^6, 10^9 bytes)."""
    if megabytes is None:
        return ""
    if megabytes < 0.1:
        return f"{megabytes * 1e3:.1f} kB"
    return f"{megabytes:.1f} MB" if megabytes < 1000 else f"{megabytes / 1000:.2f} GB"
