"""Labelled answers of the policy's own: the verifier says of each whether it is desirable."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kt_assets.synthetic.completions import Candidate
from kt_assets.synthetic.pairs import scored_texts
from kt_resources.store.schemas import Row, label_row
from kt_resources.verifiers import Score


@dataclass(frozen=True)
class Labels:
    """Label rows, and the answers by what became of them: ``desirable``, ``undesirable``, ``repeated_or_empty``."""

    rows: list[Row]
    counts: dict[str, int]


def build_labels(
    prompts: Sequence[Mapping[str, Any]],
    candidates: Mapping[str, Sequence[Candidate]],
    verify: Score,
    min_score: float,
) -> Labels:
    """A row for each distinct completion of a prompt; desirable from ``min_score`` up.

    A completion that did not finish scores 0, so it is undesirable.
    """
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    for prompt in prompts:
        given = candidates.get(prompt["id"], ())
        scored = scored_texts(prompt, given, verify)
        counts["repeated_or_empty"] += len(given) - len(scored)
        for text, score in scored.items():
            counts["desirable" if score >= min_score else "undesirable"] += 1
            rows.append(label_row(prompt, text, score >= min_score, score))
    return Labels(rows, dict(counts))
