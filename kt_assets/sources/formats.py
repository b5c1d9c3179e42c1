"""The formats of a person's rows: a record becomes the messages that ask, and the completion that answers."""

from collections.abc import Callable
from typing import Any, NoReturn

from kt_assets.sources.containers import Record
from kt_resources.errors import DataError

Turns = list[dict[str, str]]
KEYS_OF_FORMAT = {
    "alpaca": ("instruction",),
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "preference": ("prompt", "chosen"),
    "prompts": ("prompt",),
}
"""The columns that tell a format, the more telling ones first."""

ANSWER_OF_FORMAT = {
    "alpaca": "'output'",
    "messages": "a last turn of role assistant",
    "sharegpt": "a last turn from gpt",
    "preference": "'chosen'",
    "prompts": "'completion'",
}
ROLES = ("system", "user", "assistant", "tool")
SHAREGPT_ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


def format_of(record: Record, where: str) -> str:
    """The format that the columns of ``record`` tell.

    Raises:
        DataError: no known format has these columns.
    """
    for form, keys in KEYS_OF_FORMAT.items():
        if all(record.get(key) is not None for key in keys):
            return form
    mend = "Alpaca: instruction, input, output; chat: messages; else: prompt, completion, answer"
    raise DataError(f"no known format has the columns {', '.join(sorted(record))}", where=where, mend=mend)


def turns_of(record: Record, form: str, where: str) -> tuple[Turns, str | None]:
    """The messages of the prompt, and the completion where there is one.

    Raises:
        DataError: the record is of another format than ``form``, or a value is of the wrong type.
    """
    for key in KEYS_OF_FORMAT[form]:
        if record.get(key) is None:
            _refuse_mixed(record, form, key, where)
    if record.get("label") is False:
        mend = "leave such rows out, or take `on_bad_row: set_aside`; no objective learns from labels yet"
        raise DataError("the row's label says that its answer is wrong", where=where, mend=mend)
    return READERS[form](record, where)


def _refuse_mixed(record: Record, form: str, key: str, where: str) -> NoReturn:
    what = f"the file is of format {form}, and this row has no '{key}' but {', '.join(sorted(record))}"
    raise DataError(what, where=where, mend="keep one format a file, and make each file a source of its own")


def _alpaca(record: Record, where: str) -> tuple[Turns, str | None]:
    question = "\n\n".join(part for part in (_text(record, k, where) for k in ("instruction", "input")) if part)
    return [{"role": "user", "content": question}], _text(record, "output", where)


def _messages(record: Record, where: str) -> tuple[Turns, str | None]:
    return _parted(_chat(record["messages"], where), where)


def _sharegpt(record: Record, where: str) -> tuple[Turns, str | None]:
    """Turns of ``from`` and ``value``; the system message may stand in a column of its own."""
    turns = record["conversations"]
    if not isinstance(turns, list) or not turns:
        raise DataError("'conversations' is a list of turns with from and value", where=where)
    messages: Turns = []
    if system := _text(record, "system", where):
        messages.append({"role": "system", "content": system})
    for index, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
            raise DataError(f"turn {index} has no text 'value'", where=where)
        if turn.get("from") not in SHAREGPT_ROLES:
            mend = f"one of {', '.join(SHAREGPT_ROLES)}"
            raise DataError(f"turn {index} is from {turn.get('from')!r}", where=where, mend=mend)
        messages.append({"role": SHAREGPT_ROLES[turn["from"]], "content": turn["value"]})
    return _parted(messages, where)


def _prompts(record: Record, where: str) -> tuple[Turns, str | None]:
    return _asked(record["prompt"], where), _text(record, "completion", where)


def _preference(record: Record, where: str) -> tuple[Turns, str | None]:
    """The prompt and the chosen answer, which may be text or a chat whose last turn it is."""
    chosen = record["chosen"]
    if isinstance(chosen, str):
        return _asked(record["prompt"], where), chosen
    last = _chat(chosen, where)[-1]
    if last["role"] != "assistant":
        raise DataError("'chosen' does not end with a turn of role assistant", where=where)
    return _asked(record["prompt"], where), last["content"]


READERS: dict[str, Callable[[Record, str], tuple[Turns, str | None]]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "preference": _preference,
    "prompts": _prompts,
}


def _asked(prompt: Any, where: str) -> Turns:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _chat(prompt, where)


def _parted(messages: Turns, where: str) -> tuple[Turns, str | None]:
    """The last assistant turn is the completion; what stands before it is the prompt."""
    if messages[-1]["role"] != "assistant":
        return messages, None
    *before, last = messages
    if not any(message["role"] != "system" for message in before):
        raise DataError("the chat has an answer and no question", where=where)
    return before, last["content"]


def _text(record: Record, key: str, where: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"'{key}' is text, this is {type(value).__name__}", where=where)
    return value


def _chat(value: Any, where: str) -> Turns:
    if not isinstance(value, list) or not value:
        raise DataError("a chat is a list of messages with role and content", where=where)
    for index, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise DataError(f"message {index + 1} has no text 'content'", where=where)
        if message.get("role") not in ROLES:
            what = f"message {index + 1} has role {message.get('role')!r}"
            raise DataError(what, where=where, mend=f"one of {', '.join(ROLES)}")
    return [{"role": message["role"], "content": message["content"]} for message in value]
