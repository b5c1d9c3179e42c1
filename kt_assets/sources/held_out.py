"""Held-out items of a person's own: a file of them, or a seeded split of the line's rows."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kt_assets.curation.heuristics import check_heuristics
from kt_assets.curation.length import CountTokens, check_length
from kt_assets.curation.pipeline import prepared
from kt_assets.mix.split import split_by_prompt
from kt_assets.sources.read_file import BadRow, read_file
from kt_resources.errors import DataError
from kt_resources.recipes.data import Curation
from kt_resources.recipes.held_out import FileTasks, HeldOut
from kt_resources.store.schemas import Row, prompt_key
from kt_resources.verifiers import VerifierConfig, reference_answer

SINGLE = (["user"], ["system", "user"])


@dataclass(frozen=True)
class HeldOutRows:
    """Items for evaluation, and the rows that were passed over, by reason."""

    items: list[Row]
    passed_over: dict[str, int]


def file_items(path: Path, tasks: FileTasks, verifier: VerifierConfig, bad_rows: list[BadRow]) -> list[Row]:
    """The items of a file, each prompt once, with what the verifier compares with; DataError as a source's."""
    found: dict[str, Row] = {}
    for row in islice(read_file(path, tasks.source, bad_rows, verifier), tasks.num_items):
        found.setdefault(prompt_key(row), row | {"family": task_name(row["family"])})
    return list(found.values())


def split_items(
    rows: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
    tasks: HeldOut,
    verifier: VerifierConfig,
    curation: Curation,
    count_tokens: CountTokens,
) -> HeldOutRows:
    """The items of a split: of each source a share of its distinct prompts.

    They pass what training rows pass, normalized and masked alike, so that curation knows them again. Passed over are
    prompts of several turns, rows that curation would remove, answers that are labelled wrong, and rows without what
    the verifier (without one: the comparison with the item's answer) compares with.

    Args:
        sources: the sources whose rows are split; the others' are left alone.

    Raises:
        DataError: a source has too few prompts to hold any out.
    """
    candidates: dict[str, dict[str, Row]] = {name: {} for name in sources}
    passed_over: Counter[str] = Counter()
    for raw in rows:
        if raw["source"] in candidates:
            row, _ = prepared(raw, curation)
            row |= {"answer": reference_answer(row, verifier.reference_marker)}
            if reason := _unfit(row, verifier, curation, count_tokens):
                passed_over[reason] += 1
            else:
                candidates[row["source"]].setdefault(prompt_key(row), row | {"family": task_name(row["family"])})
    items = [row for name in sources for row in _held_out(list(candidates[name].values()), name, tasks, passed_over)]
    return HeldOutRows(items, dict(passed_over))


def compared(verifier: VerifierConfig) -> tuple[str, ...]:
    """The columns that an item must have for its answers to be scored; without a verifier, its answer."""
    return ("answer",) if verifier.type == "none" else verifier.truths


def task_name(family: str) -> str:
    """A family as a person writes it, as the name of an evaluation task: ``Order status`` is ``Order_status``."""
    return re.sub(r"[^\w.-]+", "_", family).strip("_")


def _unfit(
    row: Mapping[str, Any], verifier: VerifierConfig, curation: Curation, count_tokens: CountTokens
) -> str | None:
    if [message["role"] for message in row["prompt"]] not in SINGLE:
        return "several_turns"
    if row["label"] is False:
        return "labelled_wrong"
    if missing := [name for name in compared(verifier) if not row[name]]:
        return f"no_{missing[0]}"
    if drop := check_heuristics(row, curation.heuristics) or check_length(row, count_tokens, curation.max_tokens):
        return drop.reason
    return None


def _held_out(rows: list[Row], source: str, tasks: HeldOut, passed_over: Mapping[str, int]) -> list[Row]:
    count = min(tasks.num_items, max(1, round(len(rows) * tasks.fraction)))
    if len(rows) <= count:
        reasons = ", ".join(f"{reason} {number}" for reason, number in passed_over.items()) or "none"
        what = f"source {source} has {len(rows)} prompts that could be held out (passed over: {reasons})"
        mend = "give it more rows, or name other sources; `verifier.answer_marker` says where an answer begins"
        raise DataError(what, where="eval_tasks.sources", mend=mend)
    return split_by_prompt(rows, count=count, seed=tasks.seed)[1]
