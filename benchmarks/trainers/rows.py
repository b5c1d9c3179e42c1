"""The rows that all contestants learn: worked sums and greatest common divisors, as in the default line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FAMILIES: dict[str, Any] = {
    "chain_sum": {"config": {"min_terms": 2, "max_terms": 4, "min_digits": 1, "max_digits": 2}},
    "gcd": {"config": {"min_numbers": 2, "max_numbers": 2, "min_value": 2, "max_value": 99}},
}
SEED = 1


def write_rows(folder: Path, model_dir: Path, counts: Mapping[str, int], held_out: int) -> dict[str, int]:
    """``sft.parquet``, ``dpo.parquet``, ``grpo.parquet`` and held-out rows; the tokens of a pass over the first two.

    Args:
        counts: rows by objective.
    """
    from transformers import AutoTokenizer

    from kt_assets.mix.tokenize_rows import tokenize_rows
    from kt_resources.trainers.data import rendered_pair

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    most = max(counts["sft"], counts["dpo"])
    rows = worked_rows(most + held_out)
    train, held = rows[:most], rows[most:]
    tokenized = tokenize_rows(rows, tokenizer, 512).rows
    pairs = with_wrong_answers(train)[: counts["dpo"]]
    write(tokenized[: counts["sft"]], folder / "sft.parquet")
    write(tokenized[most:], folder / "sft_held_out.parquet")
    write(pairs, folder / "dpo.parquet")
    write(with_wrong_answers(held), folder / "dpo_held_out.parquet")
    write([row | {"completion": None} for row in worked_rows(counts["grpo"], SEED + 1)], folder / "grpo.parquet")
    rendered = [rendered_pair(row, tokenizer) for row in pairs]
    in_pairs = [len(tokenizer(pair["prompt"] + pair[side])["input_ids"]) for pair in rendered for side in SIDES]
    return {"sft": sum(row["num_tokens"] for row in tokenized[: counts["sft"]]), "dpo": sum(in_pairs)}


SIDES = ("chosen", "rejected")


def worked_rows(num_rows: int, seed: int = SEED) -> list[dict[str, Any]]:
    """Example rows with a short written working before the answer."""
    from kt_assets.sources.reasoning_gym import source_rows
    from kt_resources.recipes.data import ReasoningGymSource

    fields = {"name": "worked", "type": "reasoning_gym", "num_rows": num_rows, "seed": seed, "answer_style": "worked"}
    return source_rows(ReasoningGymSource.model_validate(fields | {"families": FAMILIES}))


def with_wrong_answers(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Pairs: each row's answer over the answer to the next row of its family."""
    from kt_resources.store.schemas import pair_row

    pairs = []
    for index, row in enumerate(rows):
        others = [*rows[index + 1 :], *rows[:index]]
        other = next(o for o in others if o["family"] == row["family"] and o["answer"] != row["answer"])
        pairs.append(pair_row(row, (row["completion"], 1.0), (other["completion"], 0.0)))
    return pairs


def write(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file)
