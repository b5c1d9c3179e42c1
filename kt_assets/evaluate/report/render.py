"""The report as one HTML file: no script, no font, no image from elsewhere; every text escaped."""

from pathlib import Path

import jinja2

from kt_assets.evaluate.report.data import ReportData
from kt_assets.evaluate.report.view import view
from kt_assets.evaluate.report.words import duration, figure, interval, metric, metric_name, percent, size

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
    environment.filters |= {f.__name__: f for f in (percent, figure, duration, size, metric, metric_name, interval)}
    style = (FOLDER / "report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(style=style, **view(data))
