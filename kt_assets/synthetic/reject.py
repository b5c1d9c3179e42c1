"""Rejection sampling: of what was generated, keep what the verifier accepts (Yuan et al. 2023, RFT)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kt_assets.synthetic.completions import Candidate
from kt_assets.synthetic.few_shot import FewShot
from kt_resources.recipes.data import SYNTHETIC, Synthetic
from kt_resources.store.schemas import Row, example_row
from kt_resources.verifiers import Score


@dataclass(frozen=True)
class Accepted:
    """What rejection sampling kept.

    Attributes:
        rows: example rows of source ``synthetic``; parents are the prompt row and the few-shot rows.
        scores: the verifier's score of each row, in the same order.
        counts: completions by what became of them: ``accepted``, ``rejected``, ``unfinished``, ``repeated``,
            ``over_max_per_prompt``.
        by_family: family → (accepted by the verifier, completions); their quotient is the acceptance rate.
    """

    rows: list[Row]
    scores: list[float]
    counts: dict[str, int]
    by_family: dict[str, tuple[int, int]]

    @property
    def acceptance_rate(self) -> float:
        """Completions that the verifier accepted, repeated ones included, over all completions."""
        total = sum(completions for _, completions in self.by_family.values())
        return sum(right for right, _ in self.by_family.values()) / total if total else 0.0


def accept(
    prompts: Sequence[Mapping[str, Any]],
    candidates: Mapping[str, Sequence[Candidate]],
    verify: Score,
    config: Synthetic,
    few_shot: Mapping[str, FewShot] | None = None,
) -> Accepted:
    """Distinct completions that finished and score at least ``min_score``, at most ``max_per_prompt`` a prompt.

    Args:
        prompts: prompt rows; the new rows have their prompts, without the few-shot turns.
        candidates: completions by the prompt row's id.
        few_shot: the examples that each family was shown.
    """
    rows: list[Row] = []
    scores: list[float] = []
    counts, right, total = Counter[str](), Counter[str](), Counter[str]()
    for prompt in prompts:
        kept: dict[str, float] = {}
        for candidate in candidates.get(prompt["id"], ()):
            score = verify(candidate.text, prompt)
            fate = _fate(candidate, score, kept, config)
            counts[fate] += 1
            total[prompt["family"]] += 1
            right[prompt["family"]] += fate not in ("rejected", "unfinished")
            if fate == "accepted":
                kept[candidate.text] = score
        shots = (few_shot or {}).get(prompt["family"])
        rows += [_row(prompt, text, shots) for text in kept]
        scores += kept.values()
    return Accepted(rows, scores, dict(counts), {family: (right[family], total[family]) for family in total})


def _fate(candidate: Candidate, score: float, kept: Mapping[str, float], config: Synthetic) -> str:
    if score < config.min_score:
        return "rejected"
    if not candidate.finished:
        return "unfinished"
    if candidate.text in kept:
        return "repeated"
    return "accepted" if len(kept) < config.max_per_prompt else "over_max_per_prompt"


def _row(prompt: Mapping[str, Any], text: str, shots: FewShot | None) -> Row:
    return example_row(
        prompt["prompt"],
        text,
        source=SYNTHETIC,
        family=prompt["family"],
        answer=prompt["answer"],
        verification=prompt["verification"],
        parents=[prompt["id"], *(shots.ids if shots else [])],
        origin=prompt["origin"],
    )
