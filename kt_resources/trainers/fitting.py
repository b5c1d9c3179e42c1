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
from kt_resources.trainers.updates.lora import LoraBase

USABLE_SHARE = 0.95
"""Share of a device's memory that a run may plan for; the prediction's own error lies beyond it (docs/plan.md)."""

SHORTEST = 64
"""Below this ``max_seq_len`` nothing is proposed: few rows would be left."""


@dataclass(frozen=True)
class Settings:
    """What of a step memory depends on and a person may change.

    Attributes:
        forgets_rate: a learning rate was given for another update strategy, and gives way to the default of this one.
        row_limit: the field of the recipe that takes the same ``max_seq_len``; empty where it stays as it is.
    """

    objective: ObjectiveConfig
    update: UpdateStrategy
    optimization: Optimization
    forgets_rate: bool = False
    row_limit: str = ""

    def __str__(self) -> str:
        chosen = self.optimization
        rank = f", r: {self.update.r}" if hasattr(self.update, "r") else ""
        fields = {
            "micro_batch_size": f"{chosen.micro_batch_size}",
            "gradient_accumulation_steps": f"{chosen.gradient_accumulation_steps}",
            "max_seq_len": f"{chosen.max_seq_len}",
        }
        if chosen.gradient_checkpointing:
            fields["gradient_checkpointing"] = "true"
        told = ""
        if self.forgets_rate:
            fields["learning_rate"] = "null"
            told += f" (null: the default of {self.update.type})"
        if self.row_limit:
            told += f", {self.row_limit}: {chosen.max_seq_len} (longer rows are dropped)"
        optimization = ", ".join(f"{name}: {value}" for name, value in fields.items())
        return f"update: {{type: {self.update.type}{rank}}}, optimization: {{{optimization}}}{told}"


@dataclass(frozen=True)
class Place:
    """Where a step would run, on which model and which rows.

    Attributes:
        row_limit: the field of the recipe that bounds rows which are not made yet; empty where they are made, or where
            no single field does.
    """

    shape: ModelShape
    lengths: Lengths
    device: Device
    precision: Precision
    needs: Needs = field(default_factory=Needs)
    row_limit: str = ""

    @property
    def usable_gb(self) -> float:
        """Memory that a run may plan for, in 10^9 bytes; processes on one CPU share it."""
        sharing = self.needs.devices if self.device.kind == "cpu" else 1
        return self.device.memory_gb * USABLE_SHARE / sharing

    def memory(self, settings: Settings) -> Memory:
        """The prediction for ``settings`` here; of rows longer than their ``max_seq_len``, which no training takes, as
        for rows of that length."""
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
    found = candidates(settings, place)
    possible = (one for one in found if not problem_of(one.objective, one.update, one.optimization, sharded))
    return next(filter(place.fits, possible), None)


def candidates(settings: Settings, place: Place) -> Iterator[Settings]:
    """Other settings, nearest first.

    A smaller micro-batch with more accumulation learns the same; checkpointing too, and costs a forward pass; then
    an adapter instead of all weights, then one on 4-bit weights; shorter rows come last, as they lose data.
    The order is the fine-tuning guide's for out-of-memory errors, with what changes no result before what does.
    """
    for length in _limits(settings, place):
        for update in _lighter_updates(settings.update):
            for checkpointing in (False, True):
                for micro_batch in _divisors(settings):
                    yield _changed(settings, place, update, micro_batch, checkpointing, length)


def _limits(settings: Settings, place: Place) -> Iterator[int]:
    """The present ``max_seq_len``; shorter ones only where the rows are still to be made, and can be made shorter.

    Rows that are made are as long as they are: a training refuses those beyond its ``max_seq_len``.
    """
    yield (length := settings.optimization.max_seq_len)
    length = min(length, place.lengths.longest) // 2
    while place.row_limit and length >= SHORTEST:
        yield length
        length //= 2


def _changed(
    settings: Settings, place: Place, update: UpdateStrategy, micro_batch: int, checkpointing: bool, length: int
) -> Settings:
    old = settings.optimization
    product = old.micro_batch_size * old.gradient_accumulation_steps
    forgets = old.learning_rate is not None and _rate_of(update) != _rate_of(settings.update)
    changes: dict[str, Any] = {
        "learning_rate": None if forgets else old.learning_rate,
        "micro_batch_size": micro_batch,
        "gradient_accumulation_steps": product // micro_batch,
        "gradient_checkpointing": checkpointing or old.gradient_checkpointing,
        "max_seq_len": length,
    }
    row_limit = place.row_limit if length < old.max_seq_len else ""
    return Settings(settings.objective, update, old.model_copy(update=changes), forgets, row_limit)


def _rate_of(update: UpdateStrategy) -> tuple[bool, float]:
    """What a strategy's default learning rate depends on: another strategy of the same learns at the same rate."""
    return update.has_adapter, update.learning_rate_scale


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
        names = LORA_OPTIONS if isinstance(lora, LoraBase) else LORA_OPTIONS[2:]  # another's rank is none of LoRA's
        found.append(quantized(**{name: getattr(lora, name) for name in names if hasattr(lora, name)}))
    return found


LORA_OPTIONS = ("r", "alpha", "dropout", "target_modules")
"""What an adapter keeps on 4-bit weights."""


def require_fit(name: str, settings: Settings, place: Place, asked: Place | None = None) -> Memory:
    """The prediction for a step that fits.

    Args:
        asked: where the settings proposed must fit; None takes ``place``.

    Raises:
        ComputeError: it does not fit; the message has the parts and the nearest settings that do.
    """
    memory = place.memory(settings)
    if memory.peak_gb <= place.usable_gb:
        return memory
    parts = ", ".join(f"{part.replace('_', ' ')} {size:.1f}" for part, size in memory.parts_gb.items() if size >= 0.05)
    device = f"{place.device.name} has {place.device.memory_gb:g} GB, {place.usable_gb:.1f} of it usable by one process"
    asked = asked or place
    nearest = nearest_that_fits(settings, asked)
    peak = f" ({asked.memory(nearest).peak_gb:.1f} GB)" if nearest else ""
    raise ComputeError(
        f"needs {memory.peak_gb:.1f} GB at its peak ({memory.phase}: {parts}); {device}",
        where=name,
        mend=what_fits(nearest, asked.lengths.known) + peak,
    )


def what_fits(nearest: Settings | None, known_rows: bool) -> str:
    """The nearest settings that fit, in words, or what to do where there are none.

    Args:
        known_rows: whether the rows are made; else they may be as long as the recipe lets them.
    """
    if nearest is not None:
        return f"these fit: {nearest}"
    rows = "" if known_rows else " with rows as long as the recipe lets them be"
    shorter = "" if known_rows else "shorter rows, "
    return (
        f"no settings of this model fit{rows}; take {shorter}a smaller base model, a larger device, "
        "or sharding: fsdp over several"
    )
