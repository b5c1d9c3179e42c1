"""The report of a line: one self-contained HTML file."""

from kt_assets.evaluate.report.data import ReportData, report_json
from kt_assets.evaluate.report.render import render_report

__all__ = ["ReportData", "render_report", "report_json"]
