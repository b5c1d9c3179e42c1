"""A training step as the memory model sees it: on which model, rows and device; and its refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kt_assets.stage import OVERSIZE, Stage, Work
from kt_resources.compute.devices import Device
from kt_resources.compute.leases import candidates
from kt_resources.compute.memory.parts import Lengths
from kt_resources.compute.memory.peak import Memory
from kt_resources.compute.memory.shape import ModelShape, shape_of_folder
from kt_resources.compute.needs import Needs
from kt_resources.compute.precision import choose_precision
from kt_resources.recipes.recipe import Step
from kt_resources.store.store import Artifact, Store
from kt_resources.trainers.fitting import Place, Settings, require_fit
from kt_resources.trainers.lengths import bounded_lengths, counted_lengths


def is_training(stage: Stage) -> bool:
    """Whether ``stage`` trains a model."""
    return isinstance(stage.config, Step)


def settings_of(step: Step) -> Settings:
    """What of ``step`` decides its memory."""
    return Settings(step.objective, step.update, step.optimization)


def step_lengths(stage: Stage, store: Store) -> Lengths:
    """Lengths of the step's rows: counted where they are made, else what the recipe bounds them by."""
    step, data, base = _step(stage), stage.parents["data"], stage.parents["start"]
    artifact = store.current(data.asset)
    if artifact is not None and (artifact.folder / "train.parquet").is_file():
        return counted_lengths(artifact.folder, _tokenizer_file(base, store, artifact))
    return bounded_lengths(step.objective, step.optimization, _row_limit(data))


def _row_limit(data: Stage) -> int | None:
    """The longest row that a dataset not made yet can hold: curation's limit, and what a policy answers on top."""
    own = getattr(data.config, "max_seq_len", None)
    curated = data.parents.get("curated")
    if own is not None or curated is None:
        return own
    sampling = getattr(data.config, "sampling", None)
    answer = sampling.max_new_tokens if sampling is not None else 0
    return getattr(curated.config, "max_tokens", 0) + answer or None


def _limiting_field(data: Stage) -> str:
    """The field of the recipe that drops the longest rows of a dataset; empty where it has none of its own."""
    return f"datasets.{data.name}.max_seq_len" if hasattr(data.config, "max_seq_len") else ""


def _step(stage: Stage) -> Step:
    assert isinstance(stage.config, Step)
    return stage.config


def _tokenizer_file(start: Stage, store: Store, data: Artifact) -> Path:
    """The tokenizer of the step's start, or of what stands before it; every model of a line has the same."""
    made = store.current(start.asset)
    if made is not None:
        return made.path("model") / "tokenizer.json"
    if "start" in start.parents:
        return _tokenizer_file(start.parents["start"], store, data)
    return data.folder / "tokenizer.json"


def step_place(stage: Stage, store: Store, shape: ModelShape, devices: Sequence[Device]) -> Place:
    """Where the step would run: the first device that serves its needs, and the precision that follows.

    Raises:
        ComputeError: no device can serve them.
    """
    place = _place(_step(stage), shape, step_lengths(stage, store), devices)
    return place if place.lengths.known else replace(place, row_limit=_limiting_field(stage.parents["data"]))


def _place(step: Step, shape: ModelShape, lengths: Lengths, devices: Sequence[Device]) -> Place:
    needs: Needs = step.resources
    device = candidates(devices, needs)[0]
    return Place(shape, lengths, device, choose_precision(needs, device), needs)


def require_step_fits(work: Work, devices: Sequence[Device]) -> Memory | None:
    """Refuse a training that cannot fit, before a device is leased; None where it was told to go on all the same.

    Raises:
        ComputeError: it does not fit, with the nearest settings that do.
    """
    step: Step = work.config
    tokenizer = work.inputs["start"].path("model") / "tokenizer.json"
    lengths = counted_lengths(work.inputs["data"].folder, tokenizer)
    place = _place(step, shape_of_folder(work.inputs["start"].path("model")), lengths, devices)
    if work.options.allow_oversize:
        if not place.fits(settings_of(step)):
            work.making.overrides.append(OVERSIZE)
        return None
    return require_fit(work.stage.asset, settings_of(step), place)


def require_line_fits(
    stages: Mapping[str, Stage], names: Sequence[str], store: Store, shape: ModelShape, devices: Sequence[Device]
) -> None:
    """Refuse a run of which a training cannot fit, before anything is queued.

    Where a step's rows are not made yet only what no row length changes is held against the device: the step itself
    looks again once they are.

    Raises:
        ComputeError: the first step that cannot fit, with the nearest settings that do, also with the longest rows
            that the recipe allows.
    """
    for name in names:
        stage = stages[name]
        if not is_training(stage):
            continue
        place = step_place(stage, store, shape, devices)
        require_fit(stage.asset, settings_of(_step(stage)), certain(place), asked=place)


def certain(place: Place) -> Place:
    """``place`` with what is certain of its rows: their lengths, or that they hold a token at least."""
    if place.lengths.known:
        return place
    fewest: dict[str, Any] = {"longest": 1, "mean": 1.0, "scored": 1, "mean_scored": 1.0, "distinct": 1}
    lengths = place.lengths.model_copy(update=fewest)
    return replace(place, lengths=lengths)
