"""The prompts that synthetic data answers: fresh tasks, or curated prompts anew; never one that is held out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kt_assets.curation.decontaminate import Decontaminator
from kt_assets.mix.build import select_prompts
from kt_assets.sources.reasoning_gym import generated_prompts
from kt_assets.sources.truth import UNJUDGED
from kt_resources.recipes.data import SYNTHETIC, CuratedPrompts, Decontamination, GeneratedPrompts
from kt_resources.store.schemas import Row, prompt_key
from kt_resources.verifiers import VerifierConfig


def synthetic_prompts(
    config: GeneratedPrompts | CuratedPrompts,
    curated: Sequence[Mapping[str, Any]],
    eval_rows: Sequence[Mapping[str, Any]],
    decontamination: Decontamination | None,
    train_sources: Sequence[str],
    verifier: VerifierConfig = UNJUDGED,
) -> tuple[list[Row], dict[str, int]]:
    """Prompt rows to answer, and how many were removed by reason.

    Fresh prompts that a curated row of any purpose asks already are removed, as are those of the evaluation.

    Args:
        train_sources: the sources of purpose ``train``, which count where curated prompts name none.
        verifier: what it compares with is taken from the curated rows' completions where they have no ``answer``.
    """
    if isinstance(config, CuratedPrompts):
        sources = config.sources or train_sources
        return select_prompts(curated, sources, config.num_prompts, config.seed, verifier), {}
    decontaminate = Decontaminator(eval_rows, decontamination)
    asked = {prompt_key(row) for row in curated}
    kept, removed = [], Counter[str]()
    for row in generated_prompts(config, SYNTHETIC):
        if drop := decontaminate(row):
            removed[drop.reason] += 1
        elif prompt_key(row) in asked:
            removed["asked_already"] += 1
        else:
            asked.add(prompt_key(row))
            kept.append(row)
    return kept, dict(removed)
