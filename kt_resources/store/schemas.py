"""The columns of the tables that stages hand on, and the constructors of their rows.

A *prompt row* is an example whose ``completion`` is null. Every row carries the ids of the rows that it came from
(``parents``) and, where it came from outside, its place there (``origin``).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from kt_resources.store.rows import row_id

Message = Mapping[str, str]
Row = dict[str, Any]
SHARED = ("source", "family", "answer", "verification", "parents", "origin")
"""The columns that a row takes over from the example it is made of."""


def example_row(
    prompt: Sequence[Message],
    completion: str | None,
    *,
    source: str,
    rejected: str | None = None,
    label: bool | None = None,
    family: str = "",
    answer: str | None = None,
    verification: str | None = None,
    parents: Sequence[str] = (),
    origin: str = "",
) -> Row:
    """An example, or a prompt row where ``completion`` is None. Its id is made of what is asked and answered alone.

    Args:
        rejected: an answer that a person holds for worse than ``completion``.
        label: whether a person holds ``completion`` for good; None where nobody says.
    """
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt]
    content = [part for message in messages for part in (message["role"], message["content"])]
    said = {"completion": completion, "rejected": rejected, "label": None if label is None else str(label)}
    parts = [part for name, text in said.items() if text is not None for part in (name, text)]
    return {
        "id": row_id(*content, *parts),
        "source": source,
        "family": family,
        "prompt": messages,
        "completion": completion,
        "rejected": rejected,
        "label": label,
        "answer": answer,
        "verification": verification,
        "parents": list(parents),
        "origin": origin,
    }


def changed_row(row: Mapping[str, Any], **changes: Any) -> Row:
    """``row`` with other values; where its id changes by that, the old row is its only parent."""
    kept = {name: row[name] for name in (*SHARED, "prompt", "completion", "rejected", "label")} | changes
    new = example_row(kept.pop("prompt"), kept.pop("completion"), **kept)
    return new if new["id"] == row["id"] else new | {"parents": [row["id"]]}


def pair_row(row: Mapping[str, Any], chosen: tuple[str, float], rejected: tuple[str, float]) -> Row:
    """A preference pair of the prompt row ``row``: ``(text, score)`` of the better and the worse completion."""
    content = [part for message in row["prompt"] for part in (message["role"], message["content"])]
    return {
        "id": row_id(*content, "chosen", chosen[0], "rejected", rejected[0]),
        "source": row["source"],
        "family": row["family"],
        "prompt": list(row["prompt"]),
        "chosen": chosen[0],
        "rejected": rejected[0],
        "chosen_score": float(chosen[1]),
        "rejected_score": float(rejected[1]),
        "answer": row["answer"],
        "verification": row["verification"],
        "parents": [row["id"]],
        "origin": row["origin"],
    }


def label_row(row: Mapping[str, Any], completion: str, label: bool, score: float) -> Row:
    """A completion of the prompt row ``row`` that is desirable (``label`` true) or not, with the score that says so."""
    content = [part for message in row["prompt"] for part in (message["role"], message["content"])]
    return {
        "id": row_id(*content, "completion", completion, "label", str(label)),
        "source": row["source"],
        "family": row["family"],
        "prompt": list(row["prompt"]),
        "completion": completion,
        "label": label,
        "score": float(score),
        "answer": row["answer"],
        "verification": row["verification"],
        "parents": [row["id"]],
        "origin": row["origin"],
    }


def prompt_key(row: Mapping[str, Any]) -> str:
    """The id of a row's prompt without its system message: rows with one key ask the same thing, whatever the case."""
    turns = [message for message in row["prompt"] if message["role"] != "system"]
    return row_id(*(part.casefold() for message in turns for part in (message["role"], message["content"])))


def prompt_text(row: Mapping[str, Any]) -> str:
    """What a row asks: its messages without the system message, a line each."""
    return "\n".join(message["content"] for message in row["prompt"] if message["role"] != "system")


@cache
def schemas() -> dict[str, Any]:
    """The pyarrow schema of each kind of table: example, removed, pair, label, tokenized."""
    import pyarrow as pa

    text, ids = pa.string(), pa.list_(pa.string())
    prompt = ("prompt", pa.list_(pa.struct([("role", text), ("content", text)])))
    head = [("id", text), ("source", text), ("family", text)]
    truth = [("answer", text), ("verification", text), ("parents", ids), ("origin", text)]
    example = [*head, prompt, ("completion", text), ("rejected", text), ("label", pa.bool_()), *truth]
    scores = [("chosen_score", pa.float64()), ("rejected_score", pa.float64())]
    tokens = [("input_ids", pa.list_(pa.int32())), ("loss_mask", pa.list_(pa.int8())), ("num_tokens", pa.int32())]
    mask_facts = [("num_trained_tokens", pa.int32()), ("stop_token_trained", pa.bool_())]
    origin = [("parents", ids), ("origin", text)]
    return {
        "example": pa.schema(example),
        "removed": pa.schema([*example, ("reason", text), ("detail", text)]),
        "pair": pa.schema([*head, prompt, ("chosen", text), ("rejected", text), *scores, *truth]),
        "label": pa.schema(
            [*head, prompt, ("completion", text), ("label", pa.bool_()), ("score", pa.float64()), *truth]
        ),
        "tokenized": pa.schema([*head, prompt, ("completion", text), *tokens, *mask_facts, *origin]),
    }
