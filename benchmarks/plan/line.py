"""Whole stages of a line that is made: what the plan says of each from the device's rates, and what it took."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.plan.table import error
from kt_assets.cli.lines import find_line
from kt_assets.line import Line
from kt_assets.plan.answers import Answers, asked_of_models
from kt_assets.plan.base_shape import base_shape
from kt_assets.plan.glance import Sources
from kt_assets.plan.line_plan import plan_line
from kt_assets.plan.times import Seconds, SpeedSource, stage_seconds
from kt_resources.compute.catalog import load_prices
from kt_resources.compute.devices import find_devices
from kt_resources.compute.memory.training import Training
from kt_resources.compute.speed.calibration import calibrated_speed
from kt_resources.home import ensure_home
from kt_resources.recipes.base_model import BASE
from kt_resources.store.store import Artifact, Store
from kt_resources.trainers.fitting import Place, Settings

BEGIN, END = "<!-- line: begin -->", "<!-- line: end -->"
HEAD = """{begin}
## Whole trainings of the default line

Made by `python -m benchmarks.plan --line` after `make run`, whose trainings had the machine's two cores to themselves.
Planned from the calibration alone, as if none had run before; seconds of the whole program, its imports, saving and
measuring included, and of training and evaluation alone.

| training | steps | planned GB | actual GB | error | planned s | actual s | error | train: planned | actual | error |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
"""
LEARNING = ("train", "evaluate")

ANSWERS = """
Stages that have models answer, planned from the sources alone: prompts and answers as long as theirs, the base model's
as long as they may be.

| stage | tokens read | written | planned s | actual s | error |
|---|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Whole:
    """A training, planned and measured; GB of 10^9 bytes, wall seconds by phase."""

    name: str
    steps: int
    predicted_gb: float
    actual_gb: float
    predicted_s: dict[str, float]
    actual_s: dict[str, float]

    def seconds(self, *phases: str) -> dict[str, float]:
        """Predicted and actual sums over ``phases``, of all where none is named."""
        told = {"predicted_s": self.predicted_s, "actual_s": self.actual_s}
        return {key: sum(s for phase, s in by.items() if phase in (phases or by)) for key, by in told.items()}


def whole_trainings(name: str) -> list[Whole]:
    """The made trainings of the line ``name`` in this folder's store."""
    line, store = find_line(name), Store(ensure_home().store)
    speeds = _RatesAlone(partial(calibrated_speed, store.root))
    shape = base_shape(line.stages[BASE], line.recipe.base_model, store, None)
    plan = plan_line(line, store, shape, find_devices(), speeds, load_prices(None))
    return [
        Whole(
            name=stage.name,
            steps=facts["steps"],
            predicted_gb=stage.memory.peak_gb,
            actual_gb=facts["peak_memory_gb"],
            predicted_s=dict(stage.seconds.by_phase),
            actual_s=facts["seconds"],
        )
        for stage in plan.stages
        if stage.memory and stage.seconds and (facts := _facts(line, store, stage.name))
    ]


def answering_stages(name: str) -> list[tuple[str, Answers, float, float]]:
    """(stage, what was asked, planned seconds, actual seconds) of the made stages in which models answer."""
    line, store = find_line(name), Store(ensure_home().store)
    sources, speeds = Sources(line.recipe.data, line.folder), SpeedSource(partial(calibrated_speed, store.root))
    shape, device = base_shape(line.stages[BASE], line.recipe.base_model, store, None), find_devices()[0]
    found = []
    for stage in line.stages.values():
        asked, made = asked_of_models(stage, sources), store.current(stage.asset)
        if asked and made and stage.needs and (planned := speeds.answers(asked, shape, device, stage.needs)):
            found.append((stage.name, asked, planned.total, stage_seconds(made).total))
    return found


class _RatesAlone(SpeedSource):
    """Rates of the device, whatever ran on it before."""

    def training(self, training: Training, settings: Settings, place: Place, past: Artifact | None) -> Seconds | None:
        return super().training(training, settings, place, None)


def _facts(line: Line, store: Store, name: str) -> dict[str, Any]:
    artifact = store.current(line.stages[name].asset)
    return artifact.manifest.facts if artifact else {}


def section(name: str) -> str:
    """Markdown between the marks."""
    trainings = "\n".join(map(_row, whole_trainings(name))) + "\n"
    answers = "\n".join(_answers_row(*told) for told in answering_stages(name)) + "\n"
    return HEAD.format(begin=BEGIN) + trainings + ANSWERS + answers + END + "\n"


def _answers_row(name: str, asked: Answers, planned_s: float, actual_s: float) -> str:
    off = error({"predicted_s": planned_s, "actual_s": actual_s}, "s")
    return f"| {name} | {asked.read:,.0f} | {asked.written:,.0f} | {planned_s:.0f} | {actual_s:.0f} | {off:+.0%} |"


def _row(one: Whole) -> str:
    gb = {"predicted_gb": one.predicted_gb, "actual_gb": one.actual_gb}
    cells = [one.name, str(one.steps), f"{one.predicted_gb:.2f}", f"{one.actual_gb:.2f}", f"{error(gb, 'gb'):+.0%}"]
    for phases in ((), LEARNING):
        seconds = one.seconds(*phases)
        cells += [f"{seconds['predicted_s']:.0f}", f"{seconds['actual_s']:.0f}", f"{error(seconds, 's'):+.0%}"]
    return "| " + " | ".join(cells) + " |"
