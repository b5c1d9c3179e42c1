"""Published memory figures of 7B to 70B models beside what the plan says of the same: where they differ, and why."""

from dataclasses import dataclass

from kt_resources.compute.catalog import named_device
from kt_resources.compute.memory.peak import Memory
from kt_resources.compute.memory.shape import published
from kt_resources.trainers.fitting import Place, Settings
from kt_resources.trainers.lengths import bounded_lengths
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import UPDATES

BEGIN, END = "<!-- published: begin -->", "<!-- published: end -->"
LENGTH = 512
SURVEY = "survey, resource requirements (8B)"
GUIDE = "fine-tuning guide, QLoRA performance"
CHAPTER = "playbook, comparison table (70B)"


@dataclass(frozen=True)
class Figure:
    """A published figure, in GB; ``high`` where a range is given."""

    source: str
    model: str
    update: str
    low: float
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.low:g}" if self.high is None else f"{self.low:g}–{self.high:g}"


FIGURES = (
    Figure(SURVEY, "llama-3.1-8b", "full", 80),
    Figure(SURVEY, "llama-3.1-8b", "lora", 16),
    Figure(SURVEY, "llama-3.1-8b", "qlora", 6),
    Figure(SURVEY, "llama-3.1-8b", "dora", 18),
    Figure(SURVEY, "llama-3.1-8b", "galore", 16),
    Figure(GUIDE, "llama-2-7b", "full", 28),
    Figure(GUIDE, "llama-2-7b", "qlora", 6),
    Figure(GUIDE, "llama-2-13b", "full", 52),
    Figure(GUIDE, "llama-2-13b", "qlora", 10),
    Figure(GUIDE, "llama-2-70b", "full", 280),
    Figure(GUIDE, "llama-2-70b", "qlora", 48),
    Figure(CHAPTER, "llama-2-70b", "full", 640, 1280),
    Figure(CHAPTER, "llama-2-70b", "lora", 80, 160),
    Figure(CHAPTER, "llama-2-70b", "qlora", 24, 40),
)
"""An A100 counts as 80 GB where a source gives a number of them."""


def planned(figure: Figure) -> Memory | None:
    """SFT of one row of 512 tokens at a time, checkpointed, in bf16; None where the strategy is not in the registry."""
    if figure.update not in UPDATES:
        return None
    optimization = Optimization(micro_batch_size=1, max_seq_len=LENGTH, gradient_checkpointing=True)
    settings = Settings(OBJECTIVES["sft"](type="sft"), UPDATES[figure.update](type=figure.update), optimization)
    lengths = bounded_lengths(settings.objective, optimization)
    return Place(published(figure.model), lengths, named_device("a100-80gb"), "bf16").memory(settings)


def section() -> str:
    """Markdown between the marks."""
    rows = [
        "| source | model | update | published GB | planned GB | of it weights | difference |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for figure in FIGURES:
        memory = planned(figure)
        if memory is None:
            continue
        nearest = min(max(memory.peak_gb, figure.low), figure.high or figure.low)
        difference = f"{memory.peak_gb / nearest - 1:+.0%}" if memory.peak_gb != nearest else "within"
        weights = memory.parts_gb["weights"]
        cells = (figure.source, figure.model, figure.update, str(figure), f"{memory.peak_gb:.1f}", f"{weights:.1f}")
        rows.append("| " + " | ".join([*cells, difference]) + " |")
    head = f"""{BEGIN}
## Beside published figures
SFT at one row of {LENGTH} tokens, checkpointed, bf16, rank 16 on all linear layers, one device. The sources say neither
length nor batch.

"""
    return head + "\n".join(rows) + f"\n{END}\n"
