"""How each step of a chain trains: update strategy, rank, batch, epochs, rate; held against the device's memory."""

from dataclasses import dataclass
from typing import Any

from kt_assets.plan.suggest.chain import PLAYBOOK, PLAYBOOK_SCENARIOS, SURVEY, Link
from kt_assets.plan.suggest.situation import Choice, Situation
from kt_resources.compute.memory.parts import Lengths
from kt_resources.errors import ComputeError
from kt_resources.trainers.fitting import Place, Settings, nearest_that_fits
from kt_resources.trainers.objectives import OBJECTIVES, Grpo
from kt_resources.trainers.objectives.sft import Sft
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.updates import UPDATES, Full

GUIDE = "fine-tuning guide"
PLANNER = "the memory model (docs/plan.md)"
RANKS = {"classification": 4, "extraction": 8, "chat": 16, "reasoning": 32, "expert": 64, "code": 64}
EPOCHS = ((1_000, 10), (10_000, 5), (100_000, 3))
"""Rows below which so many epochs are taken: the lower end of the guide's ranges, as the best checkpoint is kept."""

EFFECTIVE_BATCH = 16
LARGE_B = 30.0
SMALL_B = 1.0
RL_STEPS = 100
FEWEST_TOKENS = 64
"""A step with room for fewer tokens a row learns from nothing; shorter rows need no more than they have."""

ROW_LIMIT = "data.curation.max_tokens"
"""The recipe's limit on rows, which a suggestion may lower."""

PREFERENCE_RANK, RL_RANK, LARGE_RANK = 8, 16, 8


@dataclass(frozen=True)
class SuggestedStep:
    """A step as a recipe has it, with the reasons of its options."""

    link: Link
    settings: Settings
    choices: tuple[Choice, ...]
    memory_gb: float

    @property
    def room(self) -> int:
        """Tokens of the longest row that it learns from: what is generated behind a prompt needs room too."""
        return _room(self.settings)

    def fields(self) -> dict[str, Any]:
        """Objective, update and optimization as sparse recipe values."""
        update = {"type": self.settings.update.type} | _set(self.settings.update, ("r",))
        names = (
            "learning_rate",
            "num_epochs",
            "max_steps",
            "micro_batch_size",
            "gradient_accumulation_steps",
            "max_seq_len",
            "gradient_checkpointing",
        )
        objective = self.settings.objective.model_dump(mode="json", exclude_defaults=True)
        return {
            "objective": {"type": self.link.objective, **objective},
            "update": update,
            "optimization": _set(self.settings.optimization, names),
        }


def _room(settings: Settings) -> int:
    generated: int = getattr(settings.objective, "max_completion_length", 0)
    return settings.optimization.max_seq_len - generated


def _set(model: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The named fields that ``model`` has and that differ from their defaults."""
    fields = type(model).model_fields
    known = {name: getattr(model, name) for name in names if name in fields}
    return {name: value for name, value in known.items() if value != fields[name].default}


def choose_settings(situation: Situation, link: Link) -> SuggestedStep:
    """The step of ``link``, its settings changed until they fit the device.

    Raises:
        ComputeError: no settings of this model fit, or none with room for a prompt.
    """
    update, choices = _update(situation, link)
    optimization, further = _optimization(situation, link, update.type)
    objective, about = _objective(situation, link)
    wanted = Settings(objective, update, optimization)
    place = _place(situation)
    found = wanted if place.fits(wanted) else nearest_that_fits(wanted, place)
    if found is None:
        what = f"{link.objective} on {situation.shape.name} does not fit {situation.device.name} in any way"
        raise ComputeError(what, where=link.objective, mend="take a smaller base model or a larger device")
    if (room := _room(found)) < min(FEWEST_TOKENS, situation.longest):
        what = f"{link.objective} fits {situation.device.name} only with room for {room} tokens of a prompt"
        raise ComputeError(what, where=link.objective, mend="take a smaller base model or a larger device")
    memory = place.memory(found).peak_gb
    told = f"{memory:.1f} of {place.usable_gb:.1f} GB at its peak"
    fitted = Choice("memory", told, "the settings as wished" if found is wanted else f"instead of {wanted}", PLANNER)
    return SuggestedStep(link, found, (*choices, *about, *further, fitted), memory)


def _place(situation: Situation) -> Place:
    s = situation
    scored = min(s.answer_tokens, s.longest)
    lengths = Lengths(longest=s.longest, mean=s.mean, scored=scored, mean_scored=scored / 2)
    return Place(s.shape, lengths, s.device, s.precision, row_limit=ROW_LIMIT)


def _update(situation: Situation, link: Link) -> tuple[Any, list[Choice]]:
    """The strategy that the goal, the wish and the size ask for; memory may still change it."""
    s = situation
    rank, why_rank = _rank(s, link)
    kind, why, source = _kind(s, link)
    choices = [Choice("update", kind, why, source)]
    if kind == "full":
        return Full(), choices
    if kind in ("pissa", "qdora"):
        rank, why_rank = LARGE_RANK, Choice("rank", str(LARGE_RANK), f"{kind} at rank {LARGE_RANK}", PLAYBOOK_SCENARIOS)
    return UPDATES[kind].model_validate({"type": kind, "r": rank}), [*choices, why_rank]


def _kind(situation: Situation, link: Link) -> tuple[str, str, str]:
    s = situation
    if s.wish == "all_weights":
        return "full", "all weights were wished for", f"{GUIDE}, practical recommendations"
    if link.objective in ("dpo", "kto", "simpo", "grpo"):
        return "lora", "preference and reinforcement learning move little; LoRA on the model so far", SURVEY
    if s.wish == "fast" and "pissa" in UPDATES and s.billions < LARGE_B:
        return "pissa", "many quick trials: it starts from the largest singular values", PLAYBOOK_SCENARIOS
    if s.billions >= LARGE_B:
        return "qdora", f"{s.billions:.0f} B parameters on one device", PLAYBOOK_SCENARIOS
    if s.device.kind == "cpu":
        return "lora", "without a GPU DoRA's column norms cost more time than they give", PLANNER
    if link.objective == "sft" and s.goal == "expert":
        return "dora", "domain data are refined with DoRA, near all weights' result", PLAYBOOK
    return _default_kind(s)


def _default_kind(situation: Situation) -> tuple[str, str, str]:
    """DoRA where a model in 16 bits leaves room for it, else QLoRA."""
    half = 2.0 * situation.billions
    if half < situation.device.memory_gb / 2:
        return "dora", f"{half:.0f} GB of weights leave room on {situation.device.memory_gb:.0f} GB", PLAYBOOK
    why = f"{half:.0f} GB of weights are more than half of {situation.device.memory_gb:.0f} GB: frozen in 4 bits"
    return "qlora", why, SURVEY


def _rank(situation: Situation, link: Link) -> tuple[int, Choice]:
    if link.objective in ("dpo", "kto", "simpo", "orpo"):
        return PREFERENCE_RANK, Choice("rank", str(PREFERENCE_RANK), "of a preference step", SURVEY)
    if link.objective == "grpo":
        return RL_RANK, Choice("rank", str(RL_RANK), "of reinforcement learning", SURVEY)
    rank = RANKS[situation.goal]
    return rank, Choice("rank", str(rank), f"for {situation.goal}", f"{GUIDE}, rank guide")


def _objective(situation: Situation, link: Link) -> tuple[Any, list[Choice]]:
    if link.objective == "sft" and situation.goal == "chat":
        choice = Choice("neftune_noise_alpha", "5", "noise on the embeddings helps open answers", SURVEY)
        return Sft(neftune_noise_alpha=5.0), [choice]
    if link.objective == "grpo":
        longest = min(situation.answer_tokens * 2, 1024)
        choice = Choice("max_completion_length", str(longest), "twice the longest answer seen", PLANNER)
        return Grpo(max_completion_length=longest), [choice]
    return OBJECTIVES[link.objective](type=link.objective), []


def _optimization(situation: Situation, link: Link, update: str) -> tuple[Optimization, list[Choice]]:
    s = situation
    batch, why_batch = _batch(s, link)
    rate, why_rate = _learning_rate(s, link, update)
    fields: dict[str, Any] = {
        "micro_batch_size": batch,
        "gradient_accumulation_steps": max(1, EFFECTIVE_BATCH // batch),
        "learning_rate": rate,
        "max_seq_len": _limit(s, link),
    }
    if link.objective == "grpo":
        steps = min(RL_STEPS, max(10, s.rl_prompts // 2))
        told = Choice("max_steps", str(steps), f"two prompts of 8 completions a step, {s.rl_prompts} prompts", SURVEY)
        return Optimization(**fields, max_steps=steps), [why_batch, why_rate, told]
    epochs, why_epochs = _epochs(s, link)
    return Optimization(**fields, num_epochs=epochs), [why_batch, why_rate, why_epochs]


def _limit(situation: Situation, link: Link) -> int:
    """Room for the longest row, in steps of 64; for what is generated on top."""
    more = min(situation.answer_tokens * 2, 1024) if link.objective == "grpo" else 0
    return -(-(situation.longest + more) // 64) * 64


def _batch(situation: Situation, link: Link) -> tuple[int, Choice]:
    """The guide's 0.8 · GB / (2 · B) / 4, at most the effective batch and a divisor of it."""
    s = situation
    rough = int(s.device.memory_gb * 0.8 / (2 * max(s.billions, 1e-3)) / 4)
    batch = max(size for size in (1, 2, 4, 8, 16) if size <= max(rough, 1))
    batch = max(2, batch) if link.objective == "kto" else batch
    why = f"0.8 · {s.device.memory_gb:.0f} GB / (2 · {s.billions:.2f} B) / 4, accumulated to {EFFECTIVE_BATCH} rows"
    return batch, Choice("micro_batch_size", str(batch), why, f"{GUIDE}, batch heuristic")


def _epochs(situation: Situation, link: Link) -> tuple[float, Choice]:
    if link.objective in ("dpo", "kto", "simpo"):
        return 1.0, Choice("num_epochs", "1", "a preference step overfits soon", f"{GUIDE}, DPO")
    rows = {"examples": situation.examples, "pairs": situation.pairs}[link.rows]
    epochs = next((epochs for limit, epochs in EPOCHS if rows < limit), 1)
    why = f"{rows} rows; the best of the evaluations is kept"
    return float(epochs), Choice("num_epochs", str(epochs), why, f"{GUIDE}, epochs by rows")


def _learning_rate(situation: Situation, link: Link, update: str) -> tuple[float | None, Choice]:
    if link.objective == "sft" and update != "full":
        if situation.billions < SMALL_B:
            why = "a model of under 1 B parameters learns at a higher rate"
            return 1e-3, Choice("learning_rate", "1e-3", why, "docs/results.md")
        return 2e-4, Choice("learning_rate", "2e-4", "an adapter's, ten times all weights'", SURVEY)
    if link.objective == "dpo" and update != "full":
        return 5e-6, Choice("learning_rate", "5e-6", "much lower than SFT's", f"{GUIDE}, learning rates")
    if link.objective == "orpo" and update != "full":
        return 1e-5, Choice("learning_rate", "1e-5", "lower than SFT's", PLAYBOOK)
    return None, Choice("learning_rate", "default", f"{link.objective}'s vetted one", "the objective's paper")
