"""Rows into the trainers, each checked before training begins; a row that cannot be learned from is named by its id."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import TrainingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def read_rows(file: Path, columns: Sequence[str], all_columns: bool = False) -> list[dict[str, Any]]:
    """The rows of a Parquet file: ``columns``, or all of them where asked.

    Raises:
        TrainingError: no such file, no rows, or a column that is missing.
    """
    import pyarrow.parquet as pq

    if not file.is_file():
        raise TrainingError("there is no such file of rows", where=str(file))
    missing = set(columns) - set(pq.read_schema(file).names)
    if missing:
        raise TrainingError(
            f"the rows have no column {', '.join(sorted(missing))}",
            where=file.name,
            mend="give the step a dataset of its objective's kind",
        )
    rows = pq.read_table(file, columns=None if all_columns else list(columns)).to_pylist()
    if not rows:
        raise TrainingError("there are no rows to learn from", where=file.name)
    return rows


def check_tokenized(rows: Iterable[dict[str, Any]], eos_token_id: int, max_seq_len: int, file: Path) -> None:
    """Every row has a trained token, trains its stop token and fits into ``max_seq_len``.

    Raises:
        TrainingError: names the first row that does not.
    """
    for row in rows:
        where = f"{file.name} row {row['id']}"
        if len(row["input_ids"]) != len(row["loss_mask"]):
            raise TrainingError("loss_mask and input_ids differ in length", where=where)
        # The first token is never predicted, so a mask on it trains nothing.
        trained = [token for token, kept in zip(row["input_ids"][1:], row["loss_mask"][1:], strict=True) if kept]
        if not trained:
            raise TrainingError("the loss mask is empty: nothing would be learned", where=where, mend=_MASK_MEND)
        if eos_token_id not in trained:
            raise TrainingError(
                f"the stop token (id {eos_token_id}) is not trained: the model would not learn to stop",
                where=where,
                mend=_MASK_MEND,
            )
        _check_length(len(row["input_ids"]), max_seq_len, where)


_MASK_MEND = "let the mask cover the whole answer, its stop token included"


def _check_length(num_tokens: int, max_seq_len: int, where: str) -> None:
    if num_tokens > max_seq_len:
        raise TrainingError(
            f"{num_tokens} tokens do not fit into {max_seq_len}: the stop token would be cut off",
            where=where,
            mend="raise optimization.max_seq_len or drop long rows in curation",
        )


def rendered_pair(row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """A preference pair as text under the chat template, each answer ending with its stop token."""
    prompt, chosen = rendered(row["prompt"], row["chosen"], tokenizer)
    rejected = rendered(row["prompt"], row["rejected"], tokenizer)[1]
    return {"id": row["id"], "prompt": prompt, "chosen": chosen, "rejected": rejected}


def rendered_label(row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """A labelled answer as text under the chat template, ending with its stop token."""
    prompt, completion = rendered(row["prompt"], row["completion"], tokenizer)
    return {"id": row["id"], "prompt": prompt, "completion": completion, "label": bool(row["label"])}


def rendered(
    messages: Iterable[Mapping[str, Any]], answer: str, tokenizer: "PreTrainedTokenizerBase"
) -> tuple[str, str]:
    """The prompt and what the template writes for ``answer`` after it, up to and including the first stop token.

    The answer as it is where the template writes another prompt, or leaves part of the answer out (a reasoning trace).
    """
    asked = [dict(message) for message in messages]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": answer}], tokenize=False)
    written = whole[len(prompt) :] if whole.startswith(prompt) else ""
    text = written if holds(written, answer) else answer
    return _without_doubled_bos(prompt, tokenizer), text.split(tokenizer.eos_token)[0] + tokenizer.eos_token


def holds(written: str, answer: str) -> bool:
    """Whether all of ``answer`` stands in what a template wrote; white space aside, which templates set anew.

    >>> holds("<think>\\n2 + 3\\n</think>\\n\\n5", "<think>2 + 3</think> 5"), holds("5", "<think>2 + 3</think> 5")
    (True, False)
    """
    return "".join(answer.split()) in "".join(written.split())


def _without_doubled_bos(text: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """``text`` without the leading token that the tokenizer will add by itself."""
    bos = tokenizer.bos_token
    adds_bos = bos is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return text.removeprefix(bos) if adds_bos else text


def check_pairs(
    rows: Iterable[dict[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_seq_len: int, file: Path
) -> None:
    """Every pair differs and fits.

    Raises:
        TrainingError: names the first pair that does not.
    """
    for row in rows:
        where = f"{file.name} row {row['id']}"
        if row["chosen"] == row["rejected"]:
            raise TrainingError("chosen and rejected are the same answer", where=where, mend="drop such pairs")
        for answer in (row["chosen"], row["rejected"]):
            _check_length(len(tokenizer(row["prompt"] + answer)["input_ids"]), max_seq_len, where)


def read_labels(file: Path) -> list[dict[str, Any]]:
    """Rows with ``id``, ``prompt``, ``completion`` and ``label``; a preference pair becomes two, both under its id.

    Raises:
        TrainingError: no such file, no rows, or neither labels nor pairs.
    """
    rows = read_rows(file, ("id", "prompt"), all_columns=True)
    if "chosen" not in rows[0]:
        return read_rows(file, ("id", "prompt", "completion", "label"))
    return [
        {"id": row["id"], "prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in read_rows(file, ("id", "prompt", "chosen", "rejected"))
        for side in ("chosen", "rejected")
    ]


def check_labels(
    rows: Sequence[dict[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_seq_len: int, file: Path
) -> None:
    """Every answer fits, and there are good and bad ones.

    Raises:
        TrainingError: names the first answer that does not fit, or says which label is missing.
    """
    if len(labels := {row["label"] for row in rows}) == 1:
        only = "desirable" if labels.pop() else "undesirable"
        raise TrainingError(
            f"every answer is {only}", where=file.name, mend="give rows of both labels; good ones alone are for SFT"
        )
    for row in rows:
        length = len(tokenizer(row["prompt"] + row["completion"])["input_ids"])
        _check_length(length, max_seq_len, f"{file.name} row {row['id']}")


def check_prompts(
    rows: Iterable[dict[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_prompt_len: int, file: Path
) -> None:
    """Every prompt leaves room for a completion.

    Raises:
        TrainingError: names the first prompt that does not.
    """
    from kt_resources.trainers.answers import prompt_ids

    for row in rows:
        _check_length(len(prompt_ids(tokenizer, row["prompt"])), max_prompt_len, f"{file.name} row {row['id']}")
