"""Few-shot prompts: curated examples of the same family as earlier turns."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kt_resources.store.schemas import Message, prompt_key


@dataclass(frozen=True)
class FewShot:
    """Examples for one family: their turns, and the ids of the rows that they are."""

    turns: list[dict[str, str]]
    ids: list[str]


def choose_few_shot(rows: Sequence[Mapping[str, Any]], num_shots: int, seed: int) -> dict[str, FewShot]:
    """For each family ``num_shots`` single-turn examples, the same for all of its prompts (a prefix is read once).

    Args:
        rows: curated rows; those without a completion or with several turns are passed over.
    """
    by_family: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["completion"] and len(_dialogue(row["prompt"])) == 1:
            by_family.setdefault(row["family"], []).append(row)
    chosen = {}
    for family, candidates in sorted(by_family.items()):
        generator = random.Random(f"{seed} {family}")
        shots = generator.sample(candidates, min(num_shots, len(candidates)))
        turns = [turn for row in shots for turn in _turns(row)]
        chosen[family] = FewShot(turns, [row["id"] for row in shots])
    return chosen


def with_few_shot(row: Mapping[str, Any], few_shot: FewShot | None) -> list[dict[str, str]]:
    """The messages to generate from: the row's system message, the examples, the row's own turns."""
    system = [dict(message) for message in row["prompt"] if message["role"] == "system"]
    return [*system, *(few_shot.turns if few_shot else []), *_dialogue(row["prompt"])]


def without_shots(rows: Sequence[Mapping[str, Any]], few_shot: Mapping[str, FewShot]) -> list[Mapping[str, Any]]:
    """``rows`` without those whose question stands among the examples, where its answer could be copied."""
    shown = {shot_id for shots in few_shot.values() for shot_id in shots.ids}
    questions = {
        prompt_key({"prompt": [turn]}) for shots in few_shot.values() for turn in shots.turns if turn["role"] == "user"
    }
    return [row for row in rows if row["id"] not in shown and prompt_key(row) not in questions]


def _dialogue(prompt: Sequence[Message]) -> list[dict[str, str]]:
    return [dict(message) for message in prompt if message["role"] != "system"]


def _turns(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [*_dialogue(row["prompt"]), {"role": "assistant", "content": row["completion"]}]
