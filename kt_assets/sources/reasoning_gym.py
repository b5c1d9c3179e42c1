"""Rows from reasoning-gym's generators, with seeds that never share a generator state.

A generator draws item ``index`` from ``Random(seed + index)``: neighbouring seeds give the same items but one. So
the recipe's seed ``s`` becomes the generator's ``s · 10⁶``, and an index stays below 10⁶. Two seeds may still draw
the same question by chance, where a family has few; curation compares the prompts themselves.
"""

import difflib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kt_assets.mix.weights import apportion
from kt_assets.sources.worked import worked_answer
from kt_resources.errors import DataError
from kt_resources.recipes.data import AnswerStyle, EvalData, Family, GeneratedPrompts, ReasoningGymSource
from kt_resources.store.schemas import Row, example_row, prompt_key
from kt_resources.verifiers.reasoning_gym import score_entry

SEED_STRIDE = 1_000_000
EVALUATION = "evaluation"
TRIES_AN_ITEM = 50
"""An evaluation set gives up once it has drawn this many times as many items as it wants distinct ones."""


def source_rows(source: ReasoningGymSource) -> list[Row]:
    """The rows of a source, families shuffled: prompt rows for purpose ``rl``, examples for the others.

    A preference pair may take an example's answer for its better one.
    """
    style = None if source.purpose == "rl" else source.answer_style
    return _rows(source.families, source.num_rows, source.seed, source.name, style, source.system)


def generated_prompts(config: GeneratedPrompts, name: str) -> list[Row]:
    """Fresh prompt rows for the generator of synthetic data, whose source is ``name``."""
    return _rows(config.families, config.num_prompts, config.seed, name, None, config.system)


def evaluation_rows(config: EvalData) -> list[Row]:
    """``num_items`` prompt rows of each family, no prompt twice, in the order of the families.

    Raises:
        DataError: a family has too few distinct questions.
    """
    rows: list[Row] = []
    for name, family in config.families.items():
        distinct: dict[str, Row] = {}
        limit = min(config.num_items * TRIES_AN_ITEM, SEED_STRIDE)
        for row in task_rows(name, family, limit, config.seed, source=EVALUATION, system=config.system):
            distinct.setdefault(prompt_key(row), row)
            if len(distinct) == config.num_items:
                break
        else:
            what = f"only {len(distinct)} distinct questions among {limit}; {config.num_items} are wanted"
            mend = "lower num_items, or widen the family's config"
            raise DataError(what, where=f"eval_tasks.families.{name}", mend=mend)
        rows.extend(distinct.values())
    return rows


def task_rows(
    name: str,
    family: Family,
    num_rows: int,
    seed: int,
    *,
    source: str,
    style: AnswerStyle | None = None,
    system: str | None = None,
) -> Iterator[Row]:
    """Rows of one family, made one at a time.

    Args:
        style: how the completion is written; None leaves it out (a prompt row).
        system: the system message; None for none.

    Raises:
        DataError: an unknown family or option, or a family whose answers its scorer does not accept.
    """
    dataset = create_generator(name, family.config, num_rows, seed)
    for index in range(num_rows):
        entry = dataset[index]
        origin = f"reasoning_gym/{name} seed={seed} index={index}"
        verification = _verification(name, entry, origin)
        turns = [{"role": "system", "content": system}] if system else []
        yield example_row(
            [*turns, {"role": "user", "content": entry["question"]}],
            None if style is None else completion_for(name, entry, style, origin),
            source=source,
            family=name,
            answer=entry["answer"],
            verification=verification,
            origin=origin,
        )


def completion_for(family: str, entry: Mapping[str, Any], style: AnswerStyle, origin: str) -> str:
    """The assistant's text: the marked answer, after a short working where ``style`` is ``worked``."""
    if style == "worked":
        return worked_answer(family, entry, origin)
    return f"#### {entry['answer']}"


def create_generator(name: str, config: Mapping[str, Any], size: int, seed: int) -> Any:
    """reasoning-gym's dataset ``name``; DataError names an unknown family or option and what there is."""
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    where = f"families.{name}"
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, n=3) or sorted(DATASETS)[:5]
        raise DataError("reasoning-gym has no such family", where=where, mend=f"one of {', '.join(near)} ...")
    known = set(DATASETS[name][1].__dataclass_fields__) - {"seed", "size"}
    if unknown := sorted(set(config) - known):
        mend = f"there are {', '.join(sorted(known))}"
        raise DataError(f"it has no option {', '.join(unknown)}", where=f"{where}.config", mend=mend)
    try:
        return reasoning_gym.create_dataset(name, seed=seed * SEED_STRIDE, size=size, **config)
    except (AssertionError, TypeError, ValueError) as error:
        raise DataError(f"reasoning-gym refuses it: {error}", where=f"{where}.config") from error


def check_families(families: Mapping[str, Family], style: AnswerStyle | None = None) -> None:
    """Make one row of each family, so that a recipe's mistake shows before anything runs; DataError as task_rows."""
    for name, family in families.items():
        next(task_rows(name, family, 1, 0, source="check", style=style))


def _rows(
    families: Mapping[str, Family],
    num_rows: int,
    seed: int,
    source: str,
    style: AnswerStyle | None,
    system: str | None,
) -> list[Row]:
    counts = apportion(num_rows, {name: family.weight for name, family in families.items()})
    rows: list[Row] = []
    for name, family in families.items():
        if counts[name]:
            rows.extend(task_rows(name, family, counts[name], seed, source=source, style=style, system=system))
    random.Random(seed).shuffle(rows)
    return rows


def _verification(name: str, entry: Mapping[str, Any], origin: str) -> str:
    """The entry as JSON; DataError where the scorer does not accept the entry's own answer after the round trip."""
    text = json.dumps({"dataset": name, "entry": entry}, sort_keys=True, default=str)
    if score_entry(entry["answer"], text, origin) < 1.0:
        mend = "take another family: this one's answers cannot be verified from a table"
        raise DataError("its scorer does not accept the task's own answer", where=origin, mend=mend)
    return text


def families_of(rows: Sequence[Row]) -> list[str]:
    """The families that stand in ``rows``, in order of first appearance."""
    return list(dict.fromkeys(row["family"] for row in rows))
