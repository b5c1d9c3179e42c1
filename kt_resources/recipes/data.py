"""The recipe's data sections: sources, curation, synthetic data and held-out tasks.

Rows reach training by purpose: sources of purpose ``train`` feed the mixes, ``preference`` the on-policy pairs and
labels, ``rl`` the prompts of reinforcement learning. Evaluation tasks decontaminate all of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kt_resources.generators.config import Engine, Sampling
from kt_resources.strict import Strict

Purpose = Literal["train", "preference", "rl"]
AnswerStyle = Literal["direct", "worked"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Seed = Annotated[int, Field(ge=0, le=4000)]
"""Each seed owns a million task indices (`seed · 10⁶ + index`), so different seeds never share a generator state."""

SYNTHETIC = "synthetic"
"""The name under which a mix weighs the synthetic examples."""

REPLAY = "replay"
"""The name under which a mix weighs the base model's own answers to everyday requests."""

ANSWER_INSTRUCTION = "End with #### and the answer."
"""The system message of generated tasks, the same in training and evaluation."""


class Family(Strict):
    """One family of generated tasks.

    Attributes:
        weight: share of the rows, relative to the other families.
        config: options of the generator (``max_terms``, ``max_value`` ...); reasoning-gym checks them.
    """

    weight: float = Field(default=1.0, gt=0)
    config: dict[str, Any] = {}


Families = Annotated[dict[str, Family], Field(min_length=1)]
DEFAULT_FAMILIES = {"chain_sum": Family(), "gcd": Family(), "calendar_arithmetic": Family()}


class Dirt(Strict):
    """Deliberate faults added to a generated source, as counts of rows, so that curation has work to show.

    Attributes:
        exact_duplicates: copies that differ at most in white space.
        near_duplicates: copies with a few words changed.
        empty: rows whose completion is empty.
        over_long: rows with an answer of thousands of words.
        leaked: rows that stand in the evaluation set, verbatim or reworded.
        emails: rows whose prompt gains an e-mail address.
    """

    exact_duplicates: int = Field(default=0, ge=0)
    near_duplicates: int = Field(default=0, ge=0)
    empty: int = Field(default=0, ge=0)
    over_long: int = Field(default=0, ge=0)
    leaked: int = Field(default=0, ge=0)
    emails: int = Field(default=0, ge=0)


class ReasoningGymSource(Strict):
    """Rows from reasoning-gym's generators, with the verification that its own scorers need.

    Attributes:
        families: generators by name.
        num_rows: rows in all, before dirt.
        answer_style: ``direct`` is ``#### answer`` alone; ``worked`` writes a short working first.
        system: the system message; None leaves it to the chat template.
    """

    type: Literal["reasoning_gym"]
    name: Name
    purpose: Purpose = "train"
    families: Families = DEFAULT_FAMILIES
    num_rows: int = Field(ge=1, le=1_000_000)
    seed: Seed = 0
    answer_style: AnswerStyle = "direct"
    system: str | None = ANSWER_INSTRUCTION
    dirt: Dirt | None = None


class FileSource(Strict):
    """Rows from a file of a person's own.

    Attributes:
        type: ``file`` tells JSON Lines, JSON, CSV and Parquet by the path's ending; ``jsonl`` is JSON Lines whatever
            the ending.
        path: the file, relative to the recipe's folder.
        format: ``alpaca`` (instruction, input, output), ``messages`` (role, content), ``sharegpt`` (conversations of
            from and value), ``preference`` (prompt, chosen, rejected; the chosen answer is the completion),
            ``prompts`` (prompt, with completion and answer where there are any); ``auto`` tells from the columns.
        purpose: ``train`` needs an answer in every row; in the others the model answers, and a row's own answer is
            the reference that the verifier compares with.
        license: the data's licence, for the model card.
        system: system message for rows that have none.
        on_bad_row: ``refuse`` stops at the first row that cannot be used; ``set_aside`` goes on, and keeps each such
            row's place and reason in ``bad_rows.jsonl``.
    """

    type: Literal["file", "jsonl"]
    name: Name
    purpose: Purpose = "train"
    path: str
    format: Literal["alpaca", "messages", "sharegpt", "preference", "prompts", "auto"] = "auto"
    license: str | None = None
    system: str | None = None
    on_bad_row: Literal["refuse", "set_aside"] = "refuse"


Source = Annotated[ReasoningGymSource | FileSource, Field(discriminator="type")]


class Heuristics(Strict):
    """Cheap rules of quality, in characters and fractions.

    Attributes:
        min_prompt_chars: shortest prompt (its user turns).
        min_completion_chars: shortest completion.
        max_chars: longest prompt and completion together; None leaves it to ``max_tokens``.
        max_repeated_line_fraction: share of lines that stand more than once (Rae et al. 2021, table A1: 0.3).
        min_alphanumeric_fraction: share of letters and digits among the characters that are no white space.
    """

    min_prompt_chars: int = Field(default=3, ge=0)
    min_completion_chars: int = Field(default=1, ge=0)
    max_chars: int | None = Field(default=None, ge=1)
    max_repeated_line_fraction: float = Field(default=0.3, ge=0, le=1)
    min_alphanumeric_fraction: float = Field(default=0.2, ge=0, le=1)


class NearDuplicates(Strict):
    """MinHash over word shingles (Broder 1997), among rows with the same numbers and the same answer.

    Attributes:
        threshold: Jaccard similarity from which two rows are near duplicates.
        shingle: words a shingle.
        num_perm: hash permutations; the estimate's standard error is about 1/√num_perm.
    """

    threshold: float = Field(default=0.8, gt=0, le=1)
    shingle: int = Field(default=3, ge=1)
    num_perm: int = Field(default=128, ge=16)


class Decontamination(Strict):
    """What counts as standing in the evaluation set: the same prompt, or a large share of its telling n-grams.

    Attributes:
        ngram: words and operators an n-gram.
        overlap: share of an evaluation item's informative n-grams found in a row's prompt from which it is removed.
        max_document_frequency: an n-gram in more than this share of the evaluation items (and in more than one)
            belongs to their template, and tells nothing.
    """

    ngram: int = Field(default=8, ge=1)
    overlap: float = Field(default=0.6, gt=0, le=1)
    max_document_frequency: float = Field(default=0.02, ge=0, le=1)


class Curation(Strict):
    """What a row must pass; every removed row is kept with its reason.

    Attributes:
        max_tokens: longest row under the base model's chat template, in tokens.
        near_duplicates: None switches the comparison off.
        mask_emails: replace e-mail addresses by ``<email>``.
        decontamination: None switches the n-grams off; rows with an evaluation item's very prompt go all the same.
    """

    max_tokens: int = Field(default=512, ge=1)
    heuristics: Heuristics = Heuristics()
    near_duplicates: NearDuplicates | None = NearDuplicates()
    mask_emails: bool = True
    decontamination: Decontamination | None = Decontamination()


class GeneratedPrompts(Strict):
    """Fresh tasks from reasoning-gym as prompts for the generator."""

    type: Literal["reasoning_gym"]
    families: Families = DEFAULT_FAMILIES
    num_prompts: int = Field(ge=1, le=1_000_000)
    seed: Seed
    system: str | None = ANSWER_INSTRUCTION


class CuratedPrompts(Strict):
    """Prompts of curated rows, answered anew; ``sources`` None takes every source of purpose ``train``."""

    type: Literal["curated"]
    sources: list[Name] | None = None
    num_prompts: int = Field(ge=1)
    seed: int = 0


class Synthetic(Strict):
    """Rejection sampling: a teacher answers, the verifier keeps.

    Attributes:
        teacher: ``base_model``, or a name of the recipe's ``teachers``; a stronger model's worked answers are
            reasoning traces to learn from.
        num_samples: completions a prompt.
        few_shot: curated examples of the prompt's family put before it as turns; they are not part of the new row.
        max_per_prompt: accepted completions kept a prompt, distinct ones.
        min_score: verifier score from which a completion is accepted.
        sampling: temperature, length and grammar of the completions.
    """

    enabled: bool = True
    teacher: Name = "base_model"
    prompts: Annotated[GeneratedPrompts | CuratedPrompts, Field(discriminator="type")]
    num_samples: int = Field(default=4, ge=1)
    few_shot: int = Field(default=3, ge=0)
    max_per_prompt: int = Field(default=1, ge=1)
    min_score: float = Field(default=1.0, gt=0, le=1)
    sampling: Sampling = Sampling()
    engine: Engine = "auto"


class Replay(Strict):
    """The base model's own answers to everyday requests, as rows named ``replay`` for a mix: against forgetting.

    Attributes:
        num_prompts: how many of the 100 requests are asked.
        sampling: temperature and length of the answers; one that does not end is not kept.
    """

    num_prompts: int = Field(default=100, ge=1, le=100)
    sampling: Sampling = Sampling(temperature=0.0, max_new_tokens=96)
    engine: Engine = "auto"


class EvalData(Strict):
    """Held-out tasks from reasoning-gym; one evaluation task a family.

    Attributes:
        num_items: items a family.
        system: the system message; give what the sources give, a different prompt measures a different thing.
    """

    type: Literal["reasoning_gym"] = "reasoning_gym"
    families: Families = DEFAULT_FAMILIES
    num_items: int = Field(default=48, ge=1, le=1_000_000)
    seed: Seed = 1000
    system: str | None = ANSWER_INSTRUCTION


class Data(Strict):
    """The recipe's ``data`` section."""

    sources: list[Source] = Field(min_length=1)
    curation: Curation = Curation()
    synthetic: Synthetic | None = None
    replay: Replay | None = None

    @model_validator(mode="after")
    def _names_and_seeds_are_distinct(self) -> "Data":
        counts = Counter(source.name for source in self.sources)
        for name in {SYNTHETIC, REPLAY} & counts.keys():
            raise ValueError(f"a source may not be called {name!r}: the mix gives that name to {name} examples")
        if repeated := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"source names must be distinct; given more than once: {', '.join(repeated)}")
        if shared := shared_seeds(generated_tasks(self)):
            raise ValueError("; ".join(shared))
        return self


def generated_tasks(data: Data, evaluation: object = None) -> dict[str, tuple[int, set[str]]]:
    """Seed and families of everything that reasoning-gym generates for a line, by name."""
    tasks = {s.name: (s.seed, set(s.families)) for s in data.sources if isinstance(s, ReasoningGymSource)}
    if data.synthetic is not None and isinstance(data.synthetic.prompts, GeneratedPrompts):
        tasks[SYNTHETIC] = (data.synthetic.prompts.seed, set(data.synthetic.prompts.families))
    if isinstance(evaluation, EvalData):
        tasks["evaluation"] = (evaluation.seed, set(evaluation.families))
    return tasks


def shared_seeds(tasks: Mapping[str, tuple[int, set[str]]]) -> list[str]:
    """One sentence for each two sets of tasks with the same seed and a family in common: they hold the same rows."""
    found = []
    for (one, (seed, families)), (other, (other_seed, other_families)) in combinations(tasks.items(), 2):
        if seed == other_seed and families & other_families:
            both = ", ".join(sorted(families & other_families))
            found.append(f"{one} and {other} both draw {both} with seed {seed}; give one of them another seed")
    return found


def overlaps(named: Mapping[str, Iterable[str]]) -> list[tuple[str, str, list[str]]]:
    """The pairs of sets that are not disjoint: ``(one name, other name, shared keys in order)``.

    Args:
        named: prompt keys (ids of prompts) by the name of the set that holds them.
    """
    sets = {name: set(keys) for name, keys in named.items()}
    shared = ((one, other, sorted(sets[one] & sets[other])) for one, other in combinations(sets, 2))
    return [pair for pair in shared if pair[2]]
