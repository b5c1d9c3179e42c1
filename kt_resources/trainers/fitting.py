"""The nearest settings that fit a device: what changes least in what is learned comes first."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kt_resources.compute.devices import Device
from kt_resources.compute.memory.parts import Lengths
from kt_resources.compute.memory.peak import Memory, predict
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.needs import Needs, Precision
from kt_resources.errors import ComputeError
from kt_resources.trainers.memory import training_of
from kt_resources.trainers.objectives.base import ObjectiveConfig
from kt_resources.trainers.spec import Optimization, problem_of
from kt_resources.trainers.updates import UPDATES
from kt_resources.trainers.updates.base import UpdateStrategy

USABLE_SHARE = 0.95
"""Share of a device's memory that a run may plan for; the prediction's own error lies beyond it (docs/plan.md)."""

SHORTEST = 64
"""Below this ``max_seq_len`` nothing is proposed: few rows would be left."""


@dataclass(frozen=True)
class Settings:
    """What of a step memory depends on and a person may change."""

    objective: ObjectiveConfig
    update: UpdateStrategy
    optimization: Optimization

    def __str__(self) -> str:
        chosen = self.optimization
        checkpointing = ", gradient_checkpointing: true" if chosen.gradient_checkpointing else ""
        batch = f"micro_batch_size: {chosen.micro_batch_size}"
        steps = f"gradient_accumulation_steps: {chosen.gradient_accumulation_steps}"
        rank = f", r: {self.update.r}" if hasattr(self.update, "r") else ""
        limit = f"max_seq_len: {chosen.max_seq_len}"
        return f"update: {{type: {self.update.type}{rank}}}, optimization: {{{batch}, {steps}, {limit}{checkpointing}}}"


@dataclass(frozen=True)
class Place:
    """Where a step would run, on which model and which rows."""

    shape: ModelShape
    lengths: Lengths
    device: Device
    precision: Precision
    needs: Needs = field(default_factory=Needs)

    @property
    def usable_gb(self) -> float:
        """Memory that a run may plan for, in 10^9 bytes; processes on one CPU share it."""
        sharing = self.needs.devices if self.device.kind == "cpu" else 1
        return self.device.memory_gb * USABLE_SHARE / sharing

    def memory(self, settings: Settings) -> Memory:
        """The prediction for ``settings`` here; rows longer than their ``max_seq_len`` count as cut to it."""
        limit = settings.optimization.max_seq_len
        completion = getattr(settings.objective, "max_completion_length", 0) if self._is_online(settings) else 0
        longest = max(1, min(self.lengths.longest, limit - completion))
        scored = min(self.lengths.scored, longest)
        lengths = self.lengths.model_copy(update={"longest": longest, "scored": scored})
        training = training_of(
            self.shape,
            settings.objective,
            settings.update,
            settings.optimization,
            lengths,
            self.device,
            self.precision,
            self.needs,
        )
        return predict(training)

    def fits(self, settings: Settings) -> bool:
        """Whether ``settings`` stay within what is usable here."""
        return self.memory(settings).peak_gb <= self.usable_gb

    @staticmethod
    def _is_online(settings: Settings) -> bool:
        return settings.objective.rows == "prompts"


def nearest_that_fits(settings: Settings, place: Place) -> Settings | None:
    """The first of :func:`candidates` that can be trained and fits ``place``; None where none does."""
    sharded = place.needs.sharding == "fsdp"
    found = candidates(settings)
    possible = (one for one in found if not problem_of(one.objective, one.update, one.optimization, sharded))
    return next(filter(place.fits, possible), None)


def candidates(settings: Settings) -> Iterator[Settings]:
    """Other settings, nearest first.

    A smaller micro-batch with more accumulation learns the same; checkpointing too, and costs a forward pass; then
    an adapter instead of all weights, then one on 4-bit weights; shorter rows come last, as they lose data.
    The order is the fine-tuning guide's for out-of-memory errors, with what changes no result before what does.
    """
    length = settings.optimization.max_seq_len
    while length >= min(SHORTEST, settings.optimization.max_seq_len):
        for update in _lighter_updates(settings.update):
            for checkpointing in (False, True):
                for micro_batch in _divisors(settings):
                    yield _changed(settings, update, micro_batch, checkpointing, length)
        length //= 2


def _changed(
    settings: Settings, update: UpdateStrategy, micro_batch: int, checkpointing: bool, length: int
) -> Settings:
    old = settings.optimization
    product = old.micro_batch_size * old.gradient_accumulation_steps
    changes: dict[str, Any] = {
        "micro_batch_size": micro_batch,
        "gradient_accumulation_steps": product // micro_batch,
        "gradient_checkpointing": checkpointing or old.gradient_checkpointing,
        "max_seq_len": length,
    }
    if update.type != settings.update.type and not settings.update.has_adapter:
        changes["learning_rate"] = None  # all weights' rate is no adapter's
    return Settings(settings.objective, update, old.model_copy(update=changes))


def _divisors(settings: Settings) -> list[int]:
    """Micro-batches that divide the present one, largest first; an objective that compares rows keeps two."""
    present = settings.optimization.micro_batch_size
    least = 2 if settings.objective.rows not in ("tokenized", "preference_pairs", "prompts") else 1
    return [size for size in range(present, 0, -1) if present % size == 0 and size >= min(least, present)]


def _lighter_updates(update: UpdateStrategy) -> list[UpdateStrategy]:
    """The strategy itself, then an adapter instead of all weights, then that adapter on 4-bit weights."""
    found = [update]
    lora = update if update.has_adapter else UPDATES["lora"](type="lora")
    if not update.has_adapter:
        found.append(lora)
    if not hasattr(update, "quant_type"):
        quantized = UPDATES["qdora" if update.type == "dora" else "qlora"]
        shared = {
            name: getattr(lora, name) for name in ("r", "alpha", "dropout", "target_modules") if hasattr(lora, name)
        }
        found.append(quantized(**shared))
    return found


def require_fit(name: str, settings: Settings, place: Place) -> Memory:
    """The prediction for a step that fits.

    Raises:
        ComputeError: it does not fit; the message has the parts and the nearest settings that do.
    """
    memory = place.memory(settings)
    if memory.peak_gb <= place.usable_gb:
        return memory
    parts = ", ".join(f"{part.replace('_', ' ')} {size:.1f}" for part, size in memory.parts_gb.items() if size >= 0.05)
    device = f"{place.device.name} has {place.device.memory_gb:g} GB, {place.usable_gb:.1f} of it usable by one process"
    nearest = nearest_that_fits(settings, place)
    mend = f"these fit: {nearest} ({place.memory(nearest).peak_gb:.1f} GB)" if nearest else NOTHING_FITS
    raise ComputeError(
        f"needs {memory.peak_gb:.1f} GB at its peak ({memory.phase}: {parts}); {device}", where=name, mend=mend
    )


NOTHING_FITS = (
    "no settings of this model fit; take a smaller base model, a larger device, or sharding: fsdp over several"
)
