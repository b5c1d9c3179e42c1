"""Numbers as a person reads them."""

import math

from kt_assets.evaluate.report.data import Row


def percent(share: float, signed: bool = False) -> str:
    """A share in percent: whole numbers, one digit below 10 %."""
    value = 100 * share
    digits = 0 if abs(value) >= 9.95 or value == 0 else 1
    told = f"{value:+.{digits}f}" if signed and value else f"{value:.{digits}f}"
    return told.replace("-", "\N{MINUS SIGN}")


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


METRICS = {
    "lenient_accuracy": "lenient",
    "general_ability": "ability",
    "word_perplexity": "perplexity",
    "answer_perplexity": "perplexity of answers",
}
"""Names of metrics as the head of a column."""


def metric_name(name: str) -> str:
    """A metric as the head of a column: a family by its own name."""
    return METRICS.get(name, name.removeprefix("accuracy/").replace("_", " "))


def metric(value: float, name: str) -> str:
    """A metric's value: shares in percent, the rest as a figure."""
    return figure(value) if "perplexity" in name else f"{percent(value)}\N{NO-BREAK SPACE}%"


def interval(row: Row, name: str) -> str:
    """``low to high`` of a metric, with its unit once."""
    if "perplexity" in name:
        return f"{figure(row['low'])} to {figure(row['high'])}"
    if name == "gain":
        return f"{percent(row['low'], signed=True)} to {percent(row['high'], signed=True)}"
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
