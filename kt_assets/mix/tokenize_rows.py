"""Rows into tokens: the checkpoint's own chat template, and loss on the answer and its stop token alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kt_resources.errors import DataError
from kt_resources.store.schemas import Row
from kt_resources.trainers.data import holds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokenized:
    """Tokenized rows, and the ids of the rows left out, by reason."""

    rows: list[Row]
    dropped: dict[str, list[str]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Rows left out, by reason."""
        return {reason: len(ids) for reason, ids in self.dropped.items()}


def tokenize_rows(
    rows: Sequence[Mapping[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_seq_len: int
) -> Tokenized:
    """Each example as ``input_ids`` and ``loss_mask`` under the tokenizer's chat template.

    Left out, never cut: rows of more than ``max_seq_len`` tokens, rows without a completion or with one that is
    labelled as wrong, rows whose text holds one of the tokenizer's special tokens (they would end or open a turn), and
    rows of whose answer the template writes a part alone (some leave reasoning traces out).

    Raises:
        DataError: the template does not write the prompt as it stands when the model is asked.
    """
    special = [token for token in tokenizer.all_special_tokens if token]
    kept: list[Row] = []
    dropped: dict[str, list[str]] = {}
    for row in rows:
        reason, new = None, None
        if row["completion"] is None:
            reason = "no_completion"
        elif row["label"] is False:
            reason = "labelled_wrong"
        elif any(token in text for text in _texts(row) for token in special):
            reason = "special_token_in_text"
        else:
            prompt, answer = rendered(row, tokenizer)
            new = _tokenized(row, prompt, answer, tokenizer)
            reason = "too_many_tokens" if new["num_tokens"] > max_seq_len else None
            if not holds(answer, row["completion"]):
                reason = "cut_by_template"
        if reason is None and new is not None:
            kept.append(new)
        else:
            dropped.setdefault(str(reason), []).append(row["id"])
    return Tokenized(kept, dropped)


def tokenize_row(row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> Row:
    """One example as a tokenized row.

    Prompt and answer are tokenized apart, as in generation, where the model continues the prompt's own tokens. What
    the template writes after the first stop token is left out: nothing follows it when the model answers.
    """
    return _tokenized(row, *rendered(row, tokenizer), tokenizer)


def _tokenized(row: Mapping[str, Any], prompt: str, answer: str, tokenizer: "PreTrainedTokenizerBase") -> Row:
    stop = stop_token_of(tokenizer)
    end = answer.find(stop)
    answer = answer if end < 0 else answer[: end + len(stop)]
    before, after = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, answer))
    same = {name: row[name] for name in ("id", "source", "family", "prompt", "completion", "parents", "origin")}
    return {
        **same,
        "input_ids": [*before, *after],
        "loss_mask": [0] * len(before) + [1] * len(after),
        "num_tokens": len(before) + len(after),
        "num_trained_tokens": len(after),
        "stop_token_trained": bool(after) and after[-1] == tokenizer.convert_tokens_to_ids(stop),
    }


def rendered(row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """What the template writes: the prompt up to where the assistant begins, and all that follows with the answer.

    Raises:
        DataError: the prompt is no prefix of the whole, so that the model would be asked otherwise than trained.
    """
    messages = [dict(message) for message in row["prompt"]]
    turns = [*messages, {"role": "assistant", "content": row["completion"]}]
    prompt = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    whole = str(tokenizer.apply_chat_template(turns, tokenize=False))
    if not whole.startswith(prompt):
        at = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(whole))
        differing = f"{prompt[at : at + 40]!r} and {whole[at : at + 40]!r}"
        what = f"the chat template's prompt is no prefix of the whole; they part at {differing}"
        mend = "take a template that writes the same prompt with and without the answer"
        raise DataError(what, where=f"row {row['id']}", mend=mend)
    return prompt, whole[len(prompt) :]


def stop_token_of(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The token that ends an answer; DataError where the tokenizer names none."""
    if not tokenizer.eos_token:
        raise DataError("the tokenizer has no eos_token, so no answer ends", where="tokenizer_config.json")
    return str(tokenizer.eos_token)


def count_tokens(row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> int:
    """Tokens of a row as the trainer sees it, with its longer answer; of a prompt row those of its prompt."""
    answers = [row[name] for name in ("completion", "rejected") if row[name] is not None]
    if answers:
        count: int = max(tokenize_row({**row, "completion": text}, tokenizer)["num_tokens"] for text in answers)
        return count
    messages = [dict(message) for message in row["prompt"]]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return len(tokenizer(prompt, add_special_tokens=False)["input_ids"])


def mask_facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts for the contract: tokens, trained tokens, and rows whose mask is empty or whose stop token is untrained."""
    tokens, trained = (sum(row[name] for row in rows) for name in ("num_tokens", "num_trained_tokens"))
    return {
        "num_tokens": tokens,
        "num_trained_tokens": trained,
        "trained_fraction": trained / max(tokens, 1),
        "num_empty_masks": sum(not row["num_trained_tokens"] for row in rows),
        "num_stop_untrained": sum(not row["stop_token_trained"] for row in rows),
        "rows_by_source": dict(Counter(row["source"] for row in rows)),
    }


def _texts(row: Mapping[str, Any]) -> list[str]:
    return [*(message["content"] for message in row["prompt"]), row["completion"]]
