"""Recipe-facing options of the evaluation."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kt_resources.compute.needs import Needs
from kt_resources.strict import Strict

Severity = Literal["error", "warn"]

ABILITY = "general_ability"
"""The metric of the probe: the share of its items where the right words are the likeliest."""

BY_FAMILY = ("accuracy", "lenient_accuracy")
"""The metrics that are measured of each family too, as ``accuracy/<family>``."""

GENERAL_TEXT = ("word_perplexity", "token_perplexity")
"""The metrics on general text."""

METRICS = (*BY_FAMILY, "stops", ABILITY, *GENERAL_TEXT, "answer_perplexity")
"""Every metric that a gate may ask for."""


class Perplexity(Strict):
    """Perplexity on general text: what the model forgot.

    Attributes:
        enabled: whether it is measured.
        max_words: how much of the general text is read, in passages of whole sentences, 60 words or a little more
            each; words, not tokens, so that models with different tokenizers read the same text.
    """

    enabled: bool = True
    max_words: int = Field(default=800, ge=200)


class Forgetting(Strict):
    """What the shipped model may lose of what the base model could: two gates that every line has.

    Replay is the mend: general rows in the mix (a source of chat answers with a weight of its own).

    Attributes:
        max_perplexity_ratio: perplexity a word on general text, over the base model's; null asks nothing.
        max_ability_drop: share of the general-ability probe's items by which it may fall; null asks nothing.
        severity: ``error`` keeps the line from being promoted, ``warn`` is shown.
    """

    max_perplexity_ratio: float | None = Field(default=1.2, ge=1)
    max_ability_drop: float | None = Field(default=0.1, ge=0, le=1)
    severity: Severity = "warn"


class FewShot(Strict):
    """The base model asked a second time, after worked examples and leniently read: what prompting alone would give.

    Attributes:
        num_examples: curated training rows of the item's family put before it as turns, the same for all of its
            items; a family without such rows gets examples of the others. 0 switches it off.
        seed: of their choice.
    """

    num_examples: int = Field(default=4, ge=0, le=64)
    seed: int = 0


class Bootstrap(Strict):
    """Percentile bootstrap of every metric's 95 % interval, resampling items.

    Attributes:
        resamples: how many times the items are drawn anew.
        seed: seed of the draws.
    """

    resamples: int = Field(default=1000, ge=100)
    seed: int = 0
    level: float = Field(default=0.95, gt=0.5, lt=1)


class Gate(Strict):
    """A threshold on one model's metric, or on its gain over a baseline on the same items.

    Attributes:
        metric: ``accuracy``, ``lenient_accuracy``, either with ``/<family>``, ``word_perplexity``,
            ``token_perplexity``, ``answer_perplexity``, ``general_ability`` or ``stops``.
        model: a model of the line by its asset (``gguf_model``) or step (``grpo``).
        baseline: the model that ``min_gain`` compares with, or what needs no training: ``majority_answer`` (always
            the family's commonest answer), ``lenient_base`` (the base model's answers, leniently read),
            ``few_shot_base`` (the base model after worked examples, leniently read).
        min, max: bounds on the model's own value.
        min_gain: by how much the model is better than the baseline, at least; for a perplexity, by how much it fell
            (-2 lets it rise by 2).
        max_ratio: a perplexity over the baseline's, at most (1.1 lets it rise by a tenth).
        bound: ``value`` compares the measured figure, ``low`` the worse end of its interval: surer, and stricter.
        severity: ``error`` keeps the line from being promoted, ``warn`` is shown.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    metric: str = "accuracy"
    model: str = "gguf_model"
    baseline: str | None = None
    min: float | None = None
    max: float | None = None
    min_gain: float | None = None
    max_ratio: float | None = None
    bound: Literal["value", "low"] = "value"
    severity: Severity = "error"

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, value: str) -> str:
        name, slash, _ = value.partition("/")
        if name not in METRICS or (slash and name not in BY_FAMILY):
            of_family = ", ".join(f"{name}/<family>" for name in BY_FAMILY)
            raise ValueError(f"no such metric; there are {', '.join(METRICS)}, {of_family}")
        return value

    @model_validator(mode="after")
    def _says_what_it_asks(self) -> "Gate":
        compares = self.min_gain is not None or self.max_ratio is not None
        if self.min is None and self.max is None and not compares:
            raise ValueError(f"gate {self.name} asks nothing: give min, max, min_gain or max_ratio")
        if compares != (self.baseline is not None):
            raise ValueError(f"gate {self.name}: baseline comes with min_gain or max_ratio, and they with it")
        if self.max_ratio is not None and not self.metric.endswith("perplexity"):
            raise ValueError(f"gate {self.name}: max_ratio is for a perplexity; give min_gain for {self.metric}")
        return self


class Evaluation(Strict):
    """How every model of the line is evaluated: the same prompts, greedy answers, the tasks' own scorers.

    Attributes:
        tasks: families of ``eval_tasks``; all of them where none is named.
        num_items: at most so many items a family; all where it is not given.
        max_new_tokens: longest answer, in tokens.
        batch_size: how many prompts are answered together.
        engine: what runs the checkpoints; a GGUF always runs in llama.cpp. ``auto`` takes transformers; on a CPU,
            llama.cpp for those that continuous batches cannot run (:mod:`kt_resources.generators.open_engine`).
    """

    tasks: tuple[str, ...] = ()
    num_items: int | None = Field(default=None, ge=1)
    max_new_tokens: int = Field(default=128, ge=1)
    batch_size: int = Field(default=32, ge=1)
    engine: Literal["auto", "llama_cpp", "transformers"] = "auto"
    perplexity: Perplexity = Perplexity()
    few_shot: FewShot = FewShot()
    general_ability: bool = Field(default=True, description="ask the probe of general ability, 100 short sentences")
    answer_perplexity: bool | None = Field(
        default=None,
        description="measure how likely the held-out answers are, by token; null: where no verifier scores answers",
    )
    forgetting: Forgetting = Forgetting()
    bootstrap: Bootstrap = Bootstrap()
    gates: Annotated[tuple[Gate, ...], Field(max_length=100)] = ()
    num_samples: int = Field(
        default=6, ge=0, le=100, description="held-out prompts shown in the report, with every answer"
    )
    resources: Needs = Needs()

    @model_validator(mode="after")
    def _gate_names_differ(self) -> "Evaluation":
        names = [gate.name for gate in self.gates]
        if len(set(names)) < len(names):
            raise ValueError(f"two gates share a name: {', '.join(names)}")
        return self

    @property
    def switched_off(self) -> dict[str, str]:
        """The metrics that are not measured, and what switches each off."""
        text = {} if self.perplexity.enabled else dict.fromkeys(GENERAL_TEXT, "evaluate.perplexity.enabled")
        ability = {} if self.general_ability else {ABILITY: "evaluate.general_ability"}
        answers = {"answer_perplexity": "evaluate.answer_perplexity"} if self.answer_perplexity is False else {}
        return text | ability | answers
