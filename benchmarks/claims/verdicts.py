"""The claims, each as a figure of a seed's cells and the range in which it would hold."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal[
    "holds here", "does not hold here", "cannot be told at this size", "not run yet", "ran on several processors"
]
BySeed = Mapping[str, Mapping[str, Any]]
"""Cell → its figures, all of one seed."""

STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}
"""Student's t at 95 % for so many seeds."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the field, and what decides it here.

    Attributes:
        source: the document of the field, and where it has the claim from.
        measured: what ``figure`` is, in words.
        cells: the cells that ``figure`` reads.
        low, high: the claim holds where the figure lies between.
        form: how the figure is written.
        timed: whether it compares seconds, which only a processor's own compare with.
    """

    words: str
    source: str
    measured: str
    cells: tuple[str, ...]
    figure: Callable[[BySeed], float]
    low: float = -math.inf
    high: float = math.inf
    form: str = "{:.2f}"
    timed: bool = False

    def has_run(self, cells: BySeed) -> bool:
        """Whether a seed has what the figure reads."""
        return all(name in cells for name in self.cells)

    def can_be_told(self, cells: BySeed) -> bool:
        """Whether a seed has it, and of one processor and number of threads where that counts."""
        if not self.has_run(cells):
            return False
        if not self.timed:
            return True
        ran = {(cells[name].get("host"), cells[name].get("threads")) for name in self.cells}
        return len(ran) == 1 and None not in next(iter(ran))


def judge(claim: Claim, seeds: Sequence[BySeed], wanted: int) -> tuple[Verdict, str]:
    """The verdict and the figures: mean, 95 % interval over seeds, each seed's own.

    The claim holds where the whole interval lies in its range, does not where the whole lies outside. ``wanted`` seeds
    are needed for a verdict.
    """
    values = [claim.figure(cells) for cells in seeds if claim.can_be_told(cells)]
    shown = ", ".join(claim.form.format(value) for value in values)
    if len(values) < wanted:
        ran = sum(claim.has_run(cells) for cells in seeds)
        verdict: Verdict = "not run yet" if ran < wanted else "ran on several processors"
        return verdict, f"{len(values)} of {wanted} seeds" + (f": {shown}" if values else "")
    mean, half = statistics.mean(values), STUDENT[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    written = (
        f"{claim.form.format(mean)} ({claim.form.format(mean - half)} to {claim.form.format(mean + half)}); {shown}"
    )
    if claim.low <= mean - half and mean + half <= claim.high:
        return "holds here", written
    if mean + half < claim.low or mean - half > claim.high:
        return "does not hold here", written
    return "cannot be told at this size", written


def _of(name: str, figure: str) -> Callable[[BySeed], float]:
    return lambda cells: cells[name][figure]


def _ratio(figure: str, one: str, other: str) -> Callable[[BySeed], float]:
    return lambda cells: cells[one][figure] / max(cells[other][figure], 1e-9)


def _difference(one: str, other: str) -> Callable[[BySeed], float]:
    return lambda cells: cells[one]["accuracy"] - cells[other]["accuracy"]


def _loss(one: str, other: str) -> Callable[[BySeed], float]:
    """Difference of the last held-out losses, in nats a token: steadier than answers, which are right or wrong."""
    return lambda cells: last_loss(cells[one]) - last_loss(cells[other])


def last_loss(cell: Mapping[str, Any]) -> float:
    """The held-out loss after the last step, in nats a token."""
    losses = {int(step): loss for step, loss in cell["losses"].items()}
    return losses[max(losses)]


def _convergence(one: str, other: str) -> Callable[[BySeed], float]:
    """How many times as early ``one`` reaches the loss with which ``other`` ends; below 1 where it never does."""

    def figure(cells: BySeed) -> float:
        losses = {int(step): loss for step, loss in cells[one]["losses"].items()}
        ends_at, target = max(losses), last_loss(cells[other])
        reached = [step for step, loss in sorted(losses.items()) if step > 0 and loss <= target]
        return ends_at / reached[0] if reached else target / losses[ends_at]

    return figure


def _saved(cells: BySeed) -> float:
    """Training seconds that ORPO saves of SFT and then DPO."""
    return 1 - cells["orpo"]["train_s"] / (cells["lora"]["train_s"] + cells["sft_dpo"]["train_s"])


SURVEY = "survey, table of requirements (8B)"
RETENTION = 0.02
"""Points of accuracy or of retention below the claimed figure that still count as it."""


def _retention(name: str, claimed: float) -> Claim:
    return Claim(
        f"{name} keeps about {claimed:.0%} of full fine-tuning's quality",
        SURVEY,
        "held-out accuracy over full fine-tuning's",
        (name.lower(), "full"),
        _ratio("accuracy", name.lower(), "full"),
        low=claimed - RETENTION,
        form="{:.0%}",
    )


def _memory(name: str, claimed_gb: float, full_gb: float = 80) -> Claim:
    most = 1.25 * claimed_gb / full_gb
    return Claim(
        f"{name} needs {claimed_gb:g} GB where full fine-tuning needs {full_gb:g}",
        SURVEY,
        f"peak memory while training over full fine-tuning's; holds up to {most:.0%}",
        (name.lower(), "full"),
        _ratio("peak_memory_gb", name.lower(), "full"),
        high=most,
        form="{:.0%}",
    )


def _dare(drop: str, start: str) -> Claim:
    return Claim(
        f"DARE drops {drop} % of what {start} learned without loss",
        "survey, merging (arXiv:2311.03099)",
        "accuracy after minus before",
        (f"dare_{drop}_{start}", start),
        _difference(f"dare_{drop}_{start}", start),
        low=-RETENTION,
        form="{:+.3f}",
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "LoRA trains 0.1 to 1 % of the parameters",
        "playbook; guide; survey",
        "trainable share, r = 16 on all linear layers",
        ("lora",),
        _of("lora", "trainable_share"),
        high=0.01,
        form="{:.2%}",
    ),
    Claim(
        "DoRA trains half as many parameters again as LoRA (0.15 against 0.1 %)",
        SURVEY,
        "trainable share over LoRA's",
        ("dora", "lora"),
        _ratio("trainable_share", "dora", "lora"),
        low=1.25,
        high=1.75,
    ),
    Claim(
        "VeRA is ultra-light",
        "playbook; guide",
        "trainable share over LoRA's; holds up to a tenth",
        ("vera", "lora"),
        _ratio("trainable_share", "vera", "lora"),
        high=0.1,
        form="{:.1%}",
    ),
    *(_memory(name, gb) for name, gb in {"LoRA": 16, "QLoRA": 6, "DoRA": 18, "GaLore": 16}.items()),
    *(_retention(name, kept) for name, kept in {"LoRA": 0.97, "QLoRA": 0.95, "DoRA": 0.98, "GaLore": 0.99}.items()),
    Claim(
        "DoRA is better than LoRA",
        "playbook; survey",
        "accuracy minus LoRA's",
        ("dora", "lora"),
        _difference("dora", "lora"),
        low=0.0,
        form="{:+.3f}",
    ),
    Claim(
        "DoRA is better than LoRA",
        "playbook; survey",
        "last held-out loss minus LoRA's",
        ("dora", "lora"),
        _loss("dora", "lora"),
        high=0.0,
        form="{:+.4f}",
    ),
    Claim(
        "PiSSA converges two to three times as fast as LoRA",
        "playbook",
        "steps over the step at which it reaches LoRA's last held-out loss",
        ("pissa", "lora"),
        _convergence("pissa", "lora"),
        low=2.0,
    ),
    Claim(
        "Spectrum trains 37 % faster than full fine-tuning",
        "survey, Spectrum",
        "tokens a CPU second over full fine-tuning's",
        ("spectrum", "full"),
        _ratio("tokens_per_s", "spectrum", "full"),
        low=1.3,
        timed=True,
    ),
    Claim(
        "Spectrum needs 23 % less memory than full fine-tuning",
        "survey, Spectrum",
        "peak memory over full fine-tuning's",
        ("spectrum", "full"),
        _ratio("peak_memory_gb", "spectrum", "full"),
        high=0.8,
        form="{:.0%}",
    ),
    Claim(
        "Spectrum loses nothing against full fine-tuning",
        "survey, Spectrum",
        "accuracy minus full fine-tuning's",
        ("spectrum", "full"),
        _difference("spectrum", "full"),
        low=-RETENTION,
        form="{:+.3f}",
    ),
    Claim(
        "NEFTune raises quality at no cost",
        "survey, NEFTune (AlpacaEval 29.8 to 64.7 %)",
        "accuracy with noise (α = 5) minus without",
        ("neftune", "lora"),
        _difference("neftune", "lora"),
        low=0.0,
        form="{:+.3f}",
    ),
    Claim(
        "NEFTune raises quality at no cost",
        "survey, NEFTune (AlpacaEval 29.8 to 64.7 %)",
        "last held-out loss with noise minus without",
        ("neftune", "lora"),
        _loss("neftune", "lora"),
        high=0.0,
        form="{:+.4f}",
    ),
    Claim(
        "ORPO saves 30 to 50 % of the compute of SFT and then DPO",
        "playbook; survey (halves it)",
        "training's CPU seconds saved",
        ("orpo", "lora", "sft_dpo"),
        _saved,
        low=0.3,
        form="{:.0%}",
        timed=True,
    ),
    Claim(
        "ORPO matches or exceeds SFT and then DPO",
        "survey, ORPO",
        "accuracy minus that of SFT and then DPO",
        ("orpo", "sft_dpo"),
        _difference("orpo", "sft_dpo"),
        low=-RETENTION,
        form="{:+.3f}",
    ),
    *(_dare(drop, start) for start in ("full", "lora") for drop in ("90", "99")),
)
