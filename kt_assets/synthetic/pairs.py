"""Preference pairs of the policy's own completions: the verifier says which is better."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kt_assets.synthetic.completions import Candidate
from kt_resources.recipes.datasets import OnPolicyPairs
from kt_resources.store.rows import normalized
from kt_resources.store.schemas import Row, pair_row
from kt_resources.verifiers import Score

Scored = tuple[str, float]


@dataclass(frozen=True)
class Pairs:
    """Preference pairs and what became of the prompts.

    Attributes:
        rows: pair rows, best completion against worst.
        counts: prompts by outcome: ``paired``, ``no_completions``, ``identical_texts`` (all the same),
            ``all_right``, ``all_wrong``, ``tie`` (scores closer than the margin), ``over_max_pairs``.
    """

    rows: list[Row]
    counts: dict[str, int]


def build_pairs(
    prompts: Sequence[Mapping[str, Any]],
    candidates: Mapping[str, Sequence[Candidate]],
    verify: Score,
    config: OnPolicyPairs,
) -> Pairs:
    """The best completion of a prompt against its worst; then the second best against the second worst, and so on.

    Two completions of one text are one; a completion that did not finish scores 0. Between equal scores the one
    sampled first counts, so that length plays no part.
    """
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    for prompt in prompts:
        if config.max_pairs is not None and len(rows) >= config.max_pairs:
            counts["over_max_pairs"] += 1
            continue
        outcome, pairs = _pairs_of(prompt, candidates.get(prompt["id"], ()), verify, config)
        counts[outcome] += 1
        rows += [pair_row(prompt, chosen, rejected) for chosen, rejected in pairs]
    return Pairs(rows[: config.max_pairs], dict(counts))


def _pairs_of(
    prompt: Mapping[str, Any], candidates: Sequence[Candidate], verify: Score, config: OnPolicyPairs
) -> tuple[str, list[tuple[Scored, Scored]]]:
    """What becomes of a prompt, and its pairs ``(chosen, rejected)``."""
    scored = scored_texts(prompt, candidates, verify)
    if not scored:
        return "no_completions", []
    best_first = sorted(scored.items(), key=lambda item: -item[1])
    worst_first = sorted(scored.items(), key=lambda item: item[1])
    pairs = [
        (chosen, rejected)
        for chosen, rejected in zip(best_first, worst_first, strict=True)
        if chosen[1] - rejected[1] >= config.min_margin
    ]
    return ("paired", pairs[: config.max_pairs_per_prompt]) if pairs else (_why_no_pair(scored), [])


def scored_texts(prompt: Mapping[str, Any], candidates: Sequence[Candidate], verify: Score) -> dict[str, float]:
    """Distinct texts, empty ones left out, with their scores, in the order of sampling.

    Texts that differ in white space alone are one, as they are to a row's id: the first of them stands for it.
    """
    scored: dict[str, float] = {}
    first: dict[str, str] = {}
    for candidate in candidates:
        if candidate.text:
            score = verify(candidate.text, prompt) if candidate.finished else 0.0
            text = first.setdefault(normalized(candidate.text), candidate.text)
            scored[text] = max(score, scored.get(text, 0.0))
    return scored


def _why_no_pair(scored: Mapping[str, float]) -> str:
    if len(scored) == 1:
        return "identical_texts"
    if min(scored.values()) >= 1.0:
        return "all_right"
    return "all_wrong" if max(scored.values()) <= 0.0 else "tie"
