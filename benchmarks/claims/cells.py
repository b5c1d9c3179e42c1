"""The cells: what is trained, from what, with which options. A cell and a seed are one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SEEDS = (0, 1, 2)
STEPS = 100
BATCH = 8
NUM_EVALS = 10
NUM_TRAIN, NUM_VALIDATION, NUM_ITEMS = 400, 32, 96
"""Rows to learn from (each seen twice), held-out rows for the loss, held-out questions for the accuracy."""

LEARNING_RATES: Mapping[str, float] = MappingProxyType({"full": 1e-4, "galore": 1e-4, "spectrum": 1e-4, "vera": 1e-2})
"""Of update strategies that need another than :data:`ADAPTER_RATE`; chosen once, not tuned cell by cell."""

ADAPTER_RATE = 1e-3

DPO_RATE = 1e-5
"""The objective's vetted default: at 1e-4 the one seed tried unlearned what SFT had taught (11 % right, 33 before)."""


@dataclass(frozen=True)
class Cell:
    """A training, or for DARE a change of trained weights.

    Attributes:
        objective, update: as the training program's spec has them.
        start: the cell whose model of the same seed it starts from; None is the base model.
        drop: DARE's p, applied to what ``start`` learned; such a cell trains nothing.
    """

    name: str
    objective: Mapping[str, Any] = field(default_factory=lambda: {"type": "sft"})
    update: Mapping[str, Any] = field(default_factory=lambda: {"type": "lora", "r": 16})
    rows: str = "tokenized"
    learning_rate: float = ADAPTER_RATE
    start: str | None = None
    drop: float | None = None


def _by_update(kind: str) -> Cell:
    ranked = {"lora", "qlora", "dora", "pissa"}
    options = {"r": 16} if kind in ranked else {}
    return Cell(kind, update={"type": kind, **options}, learning_rate=LEARNING_RATES.get(kind, ADAPTER_RATE))


CELLS: tuple[Cell, ...] = (
    _by_update("full"),
    Cell("dare_90_full", start="full", drop=0.9),
    Cell("dare_99_full", start="full", drop=0.99),
    _by_update("lora"),
    Cell("dare_90_lora", start="lora", drop=0.9),
    Cell("dare_99_lora", start="lora", drop=0.99),
    Cell("sft_dpo", objective={"type": "dpo"}, rows="preference_pairs", learning_rate=DPO_RATE, start="lora"),
    Cell("orpo", objective={"type": "orpo"}, rows="preference_pairs"),
    Cell("neftune", objective={"type": "sft", "neftune_noise_alpha": 5.0}),
    *map(_by_update, ("qlora", "dora", "pissa", "vera", "galore", "spectrum")),
)
"""In the order in which they run: what starts from a cell's model comes behind it."""
