"""``kt report``: the figures of a line, and where its HTML report lies."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from kt_assets.cli.lines import find_line
from kt_assets.cli.output import print_json
from kt_assets.evaluate.collect import report_data
from kt_assets.evaluate.report import ReportData, report_json
from kt_assets.evaluate.report.data import UNTRAINED
from kt_assets.evaluate.report.panels import gain_panel
from kt_assets.evaluate.report.view import headline
from kt_assets.evaluate.report.words import interval, metric_name, percent
from kt_resources.errors import StoreError
from kt_resources.home import ensure_home
from kt_resources.store.store import Store


def report_command(name: str | None, as_json: bool) -> int:
    """Print the current report of the line; exit code 0."""
    line, store = find_line(name), Store(ensure_home().store)
    stage = line.stages["evaluation_report"]
    artifact = store.current(stage.asset)
    if artifact is None:
        raise StoreError("has not been made", where=stage.asset, mend=f"kt run {line.name}")
    data, page = report_data(stage, store, artifact.folder), str(artifact.path("run/report.html"))
    if as_json:
        print_json(report_json(data, page))
        return 0
    console = Console(highlight=False)
    console.print(summary(data))
    console.print(_models(data))
    if gains := gain_panel(data):
        console.print(f"[dim]{gains['title'].lower()}, points on the same items:[/]")
        for row in gains["groups"][0]["rows"]:
            console.print(f"  {row['told']}")
    for check in data.checks:
        if not check["passed"]:
            console.print(f"{check['severity']}: {check['asset']}: {check['name']}: {check['observed']}", markup=False)
    console.print(f"{sum(check['passed'] for check in data.checks)} of {len(data.checks)} checks passed")
    console.print(f"report: {page}", markup=False)
    return 0


def summary(data: ReportData) -> str:
    """What the shipped model can do beside what needs no training, and by how much it passes the best of that."""
    found = headline(data)
    if not found["after"]:
        return data.line
    shipped, after = found["shipped"]["asset"], found["after"]
    told = (
        f"{shipped} answers {percent(after['value'])} % ({interval(after, 'accuracy')}) of {after['n']} held-out items."
    )
    if found["told"]:
        told += f" {found['told']}"
    if gain := found["gain"]:
        best = found["best"]["label"]
        told += f" Over the best of these ({best}): {percent(gain['value'], signed=True)} points"
        told += f" (95 %: {interval(gain, 'gain')}), paired."
    return told


LEFT_OUT = ("token_perplexity", "lenient_accuracy")


def _models(data: ReportData) -> Table:
    """A row a model: accuracy with its interval, each family's, how often it stops, perplexity on general text.

    Below them what needs no training: the base model leniently read, alone and after examples, the commonest answer.
    """
    measured = (name for model in data.models for name in model["metrics"])
    names = list(dict.fromkeys(name for name in measured if name.partition("/")[0] not in LEFT_OUT))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("model", no_wrap=True)
    for name in names:
        table.add_column(metric_name(name), justify="right", overflow="fold")
    for model in data.models:
        found = ((name, model["metrics"].get(name)) for name in names)
        table.add_row(model["asset"], *(_told(name, metric) for name, metric in found))
    for baseline, label in UNTRAINED.items():
        if baseline in data.baselines:
            found = ((name, data.baselines.get(name.replace("accuracy", baseline, 1))) for name in names)
            table.add_row(label, *(_told(name, metric) for name, metric in found), style="dim")
    return table


def _told(name: str, metric: Mapping[str, float] | None) -> str:
    if metric is None:
        return "–"
    if name == "accuracy":
        return f"{metric['value']:.0%} ({metric['low']:.0%}–{metric['high']:.0%})"
    return f"{metric['value']:.3g}" if "perplexity" in name else f"{metric['value']:.0%}"
