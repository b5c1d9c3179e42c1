"""The validation split, by prompt: the same question never stands on both sides."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kt_resources.errors import DataError
from kt_resources.store.schemas import prompt_key
from kt_resources.store.tables import write_rows

R = TypeVar("R", bound=Mapping[str, Any])


def hold_out(rows: list[R], fraction: float, seed: int) -> tuple[list[R], list[R]]:
    """``(train, validation)``; with fewer than two prompts nothing is held out, and the dataset's contract says so."""
    if len({prompt_key(row) for row in rows}) < 2:
        return rows, []
    return split_by_prompt(rows, fraction=fraction, seed=seed)


def split_by_prompt(
    rows: Sequence[R], *, fraction: float | None = None, count: int | None = None, seed: int = 0
) -> tuple[list[R], list[R]]:
    """``(train, validation)``, each in the order of ``rows``.

    Prompts are ordered by the hash of prompt and seed, and the first ones held out: a row that comes or goes moves
    few others across.

    Args:
        fraction: share of the prompts to hold out, at least one.
        count: prompts to hold out, in place of a share.

    Raises:
        DataError: with fewer than two prompts, or no more than ``count``, nothing would be left to train on.
    """
    keys = sorted({prompt_key(row) for row in rows}, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    wanted = count if count is not None else max(1, round(len(keys) * (fraction or 0.0)))
    if len(keys) <= wanted:
        mend = "give the dataset more rows, or hold fewer out"
        raise DataError(f"{len(keys)} distinct prompts, of which {wanted} are to be held out", where="split", mend=mend)
    held_out = set(keys[:wanted])
    sides: tuple[list[R], list[R]] = ([], [])
    for row in rows:
        sides[prompt_key(row) in held_out].append(row)
    return sides


def write_split(
    out: Path, train: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], schema: str
) -> dict[str, int]:
    """Write both sides as ``out/train.parquet`` and ``out/validation.parquet``; their sizes, for the contract.

    ``num_prompts_shared_with_validation`` counts the prompts that stand on both sides; a contract wants none.
    """
    write_rows(out / "train.parquet", train, schema)
    write_rows(out / "validation.parquet", validation, schema)
    return {
        "num_train_rows": len(train),
        "num_validation_rows": len(validation),
        "num_prompts_shared_with_validation": shared_prompts(train, validation),
    }


def shared_prompts(train: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> int:
    """Prompts that stand on both sides of a split."""
    return len({prompt_key(row) for row in train} & {prompt_key(row) for row in validation})
