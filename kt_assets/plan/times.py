"""Where a stage's predicted time comes from: its own past, this device's calibration, or a data sheet."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kt_assets.plan.answers import Answers
from kt_resources.compute.catalog import catalog_entry
from kt_resources.compute.devices import Device
from kt_resources.compute.memory.shape import ModelShape, shape_of_folder
from kt_resources.compute.memory.training import Training
from kt_resources.compute.needs import Needs, Precision
from kt_resources.compute.precision import choose_precision
from kt_resources.compute.speed.calibration import Speed, stated_speed
from kt_resources.compute.speed.predict import answer_seconds, predict_seconds, run_of
from kt_resources.errors import RecipeError
from kt_resources.store.store import Artifact
from kt_resources.trainers.fitting import Place, Settings

MOST_ROWS = "; as many rows as the sources can give, about as long as theirs"
"""Said where a step's rows are not made yet."""


@dataclass(frozen=True)
class Seconds:
    """Predicted seconds, by phase where they are known, and what they rest on."""

    by_phase: Mapping[str, float]
    source: str

    @property
    def total(self) -> float:
        return sum(self.by_phase.values())


def stage_seconds(past: Artifact) -> Seconds:
    """What the stage took the last time; its inputs may have changed since.

    An evaluation is planned with all of its questions asked, also those whose answers the last report knew from the one
    before.
    """
    file = past.folder / "run" / "timings.json"
    models: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    spared = sum(one.get("spared_s", 0.0) for one in models)
    return Seconds({"all": past.manifest.seconds + spared}, "last time" + (", all asked" if spared else ""))


@dataclass
class SpeedSource:
    """Rates of devices: stated for those of the catalog, measured (``measure``) for those at hand.

    Attributes:
        measure: calibrates a device at hand for a model; None leaves its times unknown.
        recalls: whether what stages took before counts; not for a device or a model that is not this line's own.
    """

    measure: Callable[[Device, ModelShape, Precision], Speed] | None = None
    recalls: bool = True
    _known: dict[tuple[str, str, str], Speed | None] = field(default_factory=dict)

    def speed(self, device: Device, shape: ModelShape, precision: Precision) -> Speed | None:
        """The rates of ``device``, asked for once."""
        key = (device.id, device.name, precision)
        if key not in self._known:
            self._known[key] = self._find(device, shape, precision)
        return self._known[key]

    def _find(self, device: Device, shape: ModelShape, precision: Precision) -> Speed | None:
        entry = catalog_entry(device)
        if entry is not None:
            return stated_speed(entry[1], shape, precision)
        return self.measure(device, shape, precision) if self.measure else None

    def answers(self, asked: Answers, shape: ModelShape, device: Device, needs: Needs) -> Seconds | None:
        """Seconds of a stage that has models answer, each as large as ``shape``."""
        speed = self.speed(device, shape, choose_precision(needs, device))
        if speed is None:
            return None
        told = answer_seconds(asked.models, asked.read, asked.written, shape, speed)
        return Seconds(told, speed.source + MOST_ROWS)

    def training(self, training: Training, settings: Settings, place: Place, past: Artifact | None) -> Seconds | None:
        """Seconds of a training: at the rate of its own last run on such a device, else at the device's rates.

        Args:
            training: of ``settings``; with ``place`` its rows' number and lengths, counted or expected.
        """
        assert place.lengths.num_rows is not None
        run = run_of(training, settings.optimization, place.lengths.num_rows, place.needs.devices)
        if past and ran_alike(past, settings, place) and (known := _past_seconds(training, run.rows, past)):
            return known
        speed = self.speed(place.device, place.shape, place.precision)
        if speed is None:
            return None
        assumed = "" if place.lengths.known else MOST_ROWS
        return Seconds(predict_seconds(training, run, speed), speed.source + assumed)


def ran_alike(past: Artifact, settings: Settings, place: Place) -> bool:
    """Whether the last run trained such a model in the same way, on such a device in the same precision."""
    now = {name: getattr(settings, name).model_dump() for name in ("objective", "update", "optimization")}
    named = any(place.device.name in told for told in past.manifest.facts.get("compute", {}).get("devices", []))
    return named and ran_there(past, place) and _way(past.manifest.config) == _way(now)


def ran_there(past: Artifact, place: Place) -> bool:
    """Whether the last run was of a model of this shape, on a device of this kind in this precision."""
    facts: dict[str, Any] = past.manifest.facts
    same_kind = facts.get("compute", {}).get("device_kind") == place.device.kind
    return same_kind and facts.get("precision") == place.precision and _same_shape(past, place.shape)


def _same_shape(past: Artifact, shape: ModelShape) -> bool:
    """Whether the model that was made has the sizes of ``shape``; true of an adapter alone, which does not tell."""
    try:
        made = shape_of_folder(past.folder / "model")
    except RecipeError:
        return True
    aside = {"name", "counted", "stored_bytes", "tied"}
    return made.model_dump(exclude=aside) == shape.model_dump(exclude=aside)


def _way(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of a step's config its rate depends on."""
    objective, update, optimization = (config.get(name, {}) for name in ("objective", "update", "optimization"))
    batch, checkpointing = (optimization.get(name) for name in ("micro_batch_size", "gradient_checkpointing"))
    return objective.get("type"), update.get("type"), update.get("r"), batch, checkpointing


def _past_seconds(training: Training, rows: float, past: Artifact) -> Seconds | None:
    """The last run's phases, training scaled by tokens; None where it did not tell them."""
    facts: dict[str, Any] = past.manifest.facts
    seconds = facts.get("seconds")
    if not seconds or not facts.get("tokens"):
        return None
    length = training.lengths.mean + training.mean_completion
    tokens = rows * training.objective.sequences * length
    scaled = dict(seconds) | {"train": seconds["train"] * tokens / facts["tokens"]}
    return Seconds(scaled, "its last run")
