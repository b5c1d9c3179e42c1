"""The plan of a line: stage by stage what will be made, with which memory, time, disk and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kt_assets.line import Line
from kt_assets.plan.answers import asked_of_models
from kt_assets.plan.expected import timed_lengths
from kt_assets.plan.glance import Sources
from kt_assets.plan.steps import certain, is_training, settings_of, step_place
from kt_assets.plan.times import Seconds, SpeedSource, ran_there, stage_seconds
from kt_assets.stage import Stage
from kt_assets.staleness import stale_stages
from kt_resources.compute.catalog import Prices, price_per_hour
from kt_resources.compute.devices import Device
from kt_resources.compute.leases import candidates
from kt_resources.compute.memory.peak import Memory, host_gb
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.quantizers.config import GgufTarget
from kt_resources.recipes.base_model import BASE
from kt_resources.store.store import Artifact, Store
from kt_resources.trainers.fitting import Place, Settings, nearest_that_fits
from kt_resources.trainers.memory import training_of

BITS = {"F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.5, "Q6_K": 6.6, "Q5": 5.6, "Q4": 4.8, "IQ4": 4.5, "Q3": 3.9}
"""Bits a weight of GGUF quant types, by the beginning of their names (llama.cpp's own table for Llama 7B)."""


@dataclass(frozen=True)
class StagePlan:
    """One stage.

    Attributes:
        why: why it will be made; empty where it is fresh.
        memory: of a training; ``host_gb`` what merging and measuring take of the machine beside a GPU.
        last_gb: the peak of its last run on such a device.
        known_rows: whether the rows' lengths are counts or the recipe's bound.
        disk_gb: of the artifact; ``scratch_gb`` while it is made.
        cost: in the price list's currency; None where there is no price or no time.
        refused: it cannot fit, whatever its rows turn out to be; `kt run` would not start.
        nearest: of a training that does not fit, the settings that do.
    """

    name: str
    room: str
    why: str
    device: str = ""
    precision: str = ""
    memory: Memory | None = None
    host_gb: float | None = None
    usable_gb: float | None = None
    last_gb: float | None = None
    known_rows: bool = True
    seconds: Seconds | None = None
    disk_gb: float | None = None
    scratch_gb: float = 0.0
    cost: float | None = None
    refused: bool = False
    nearest: Settings | None = None

    @property
    def fits(self) -> bool:
        """False for a training whose peak is beyond what the device has for it, be it only with its longest rows."""
        return self.memory is None or self.usable_gb is None or self.memory.peak_gb <= self.usable_gb


@dataclass(frozen=True)
class LinePlan:
    """The plan of a whole line on one device."""

    line: str
    device: Device
    shape: ModelShape
    prices: Prices
    stages: list[StagePlan]
    absent: Mapping[str, str]

    @property
    def to_make(self) -> list[StagePlan]:
        """The stages that will run."""
        return [stage for stage in self.stages if stage.why]

    @property
    def seconds(self) -> float:
        """Of the stages that will run and whose time is known."""
        return sum(stage.seconds.total for stage in self.to_make if stage.seconds)

    @property
    def cost(self) -> float | None:
        """Of the same; None where the device has no price."""
        costs = [stage.cost for stage in self.to_make if stage.cost is not None]
        return sum(costs) if costs else None

    @property
    def disk_gb(self) -> float:
        """Artifacts that will be added, and the largest scratch on top."""
        added = sum(stage.disk_gb or 0.0 for stage in self.to_make)
        return added + max((stage.scratch_gb for stage in self.to_make), default=0.0)


def plan_line(
    line: Line, store: Store, shape: ModelShape, devices: Sequence[Device], speeds: SpeedSource, prices: Prices
) -> LinePlan:
    """The plan of ``line`` on the first of ``devices`` that each stage's needs allow.

    Raises:
        ComputeError: a training's needs cannot be served by ``devices``.
        DataError: rows that a training waits for stand in a file that is absent or cannot be read.
    """
    planner = _Planner(store, shape, devices, speeds, prices, Sources(line.recipe.data, line.folder))
    stale = stale_stages(line, store)
    stages = [planner.plan(stage, str(stale.get(name) or "")) for name, stage in line.stages.items()]
    return LinePlan(line.name, devices[0], shape, prices, stages, line.absent)


@dataclass(frozen=True)
class _Planner:
    """What every stage of a line is planned from."""

    store: Store
    shape: ModelShape
    devices: Sequence[Device]
    speeds: SpeedSource
    prices: Prices
    sources: Sources

    def plan(self, stage: Stage, why: str) -> StagePlan:
        """The plan of ``stage``, which will be made for ``why``, or is fresh."""
        past = self.store.current(stage.asset)
        if is_training(stage):
            return self._training(stage, why, past, step_place(stage, self.store, self.shape, self.devices))
        device = candidates(self.devices, stage.needs)[0] if stage.needs else None
        seconds = stage_seconds(past) if past and self.speeds.recalls else self._answers(stage, device)
        cost = _cost(self.prices, device, seconds) if device else None
        name = device.name if device else ""
        disk = self._disk_gb(stage, past)
        return StagePlan(stage.name, stage.room, why, name, seconds=seconds, disk_gb=disk, cost=cost)

    def _answers(self, stage: Stage, device: Device | None) -> Seconds | None:
        """Of a stage whose time is not known from here, where it has models answer."""
        asked = asked_of_models(stage, self.sources) if stage.needs else None
        if asked is None or device is None or stage.needs is None:
            return None
        return self.speeds.answers(asked, self.shape, device, stage.needs)

    def _disk_gb(self, stage: Stage, past: Artifact | None) -> float | None:
        """As large as the last time, unless that was another model; None where nothing tells."""
        planned = _model_gb(stage, self.shape)
        if past is None or (planned is not None and not self.speeds.recalls):
            return planned
        return _size_gb(past)

    def _training(self, stage: Stage, why: str, past: Artifact | None, place: Place) -> StagePlan:
        config: Any = stage.config
        settings, shape = settings_of(config), place.shape
        timed = replace(place, lengths=timed_lengths(stage, self.sources, place.lengths))
        training = training_of(shape, *_axes(settings), timed.lengths, place.device, place.precision, place.needs)
        memory = place.memory(settings)
        fits = memory.peak_gb <= place.usable_gb
        past = past if self.speeds.recalls else None
        seconds = self.speeds.training(training, settings, timed, past)
        trained = training.update.trained
        whole = shape.parameters * shape.stored_bytes / 1e9 if settings.update.mergeable else 0.0
        checkpoints = 2 * (trained * 12 + (shape.parameters * 4 if training.update.all_weights else 0)) / 1e9
        return StagePlan(
            name=stage.name,
            room=stage.room,
            why=why,
            device=place.device.name,
            precision=place.precision,
            memory=memory,
            host_gb=None if place.device.kind == "cpu" else host_gb(training),
            usable_gb=place.usable_gb,
            last_gb=last_peak_gb(past, place) if past else None,
            known_rows=place.lengths.known,
            seconds=seconds,
            disk_gb=whole + trained * 4 / 1e9,
            scratch_gb=checkpoints,
            cost=_cost(self.prices, place.device, seconds, place.needs.devices),
            refused=not certain(place).fits(settings),
            nearest=None if fits else nearest_that_fits(settings, place),
        )


def last_peak_gb(past: Artifact, place: Place) -> float | None:
    """The peak that the last run had, where it was of such a model, on a device of this kind in this precision."""
    return past.manifest.facts.get("peak_memory_gb") if ran_there(past, place) else None


def _axes(settings: Settings) -> tuple[Any, Any, Any]:
    return settings.objective, settings.update, settings.optimization


def _cost(prices: Prices, device: Device, seconds: Seconds | None, count: int = 1) -> float | None:
    hourly = price_per_hour(prices, device)
    return None if hourly is None or seconds is None else hourly * count * seconds.total / 3600


def _size_gb(artifact: Artifact) -> float:
    return sum(file.size for file in artifact.manifest.files.values()) / 1e9


def _model_gb(stage: Stage, shape: ModelShape) -> float | None:
    """Size of a model that is not made yet; None for what holds none."""
    if stage.room == "merge" or stage.name == BASE:
        return shape.parameters * shape.stored_bytes / 1e9
    target = getattr(stage.config, "target", None)
    if isinstance(target, GgufTarget):
        bits = next((bits for name, bits in BITS.items() if target.quant.startswith(name)), 5.0)
        return shape.parameters * bits / 8e9
    return None
