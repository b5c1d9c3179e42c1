"""The formats of a person's rows: a record becomes the messages that ask, and the completion that answers."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from kt_assets.sources.containers import Record
from kt_resources.errors import DataError

Turns = list[dict[str, str]]


class Said(NamedTuple):
    """A record in one form: the messages that ask, the answer, and the answer that is held for worse."""

    prompt: Turns
    completion: str | None
    rejected: str | None = None


KEYS_OF_FORMAT = {
    "alpaca": ("instruction",),
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "preference": ("chosen",),
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
LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
SHAREGPT_ROLES = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


def format_of(record: Record, where: str) -> str:
    """The format that the columns of ``record`` tell.

    Raises:
        DataError: no known format has these columns.
    """
    for form, keys in KEYS_OF_FORMAT.items():
        if all(record.get(key) is not None for key in keys):
            return form
    mend = (
        "Alpaca: instruction, input, output; chat: messages; ShareGPT: conversations; "
        "pairs: prompt, chosen, rejected; else: prompt, completion, answer"
    )
    raise DataError(f"no known format has the columns {', '.join(sorted(record))}", where=where, mend=mend)


def turns_of(record: Record, form: str, where: str) -> Said:
    """The messages of the prompt, the completion where there is one, and the rejected answer where there is one.

    Raises:
        DataError: the record is of another format than ``form``, or a value is of the wrong type.
    """
    for key in KEYS_OF_FORMAT[form]:
        if record.get(key) is None:
            _refuse_mixed(record, form, key, where)
    return READERS[form](record, where)


def _refuse_mixed(record: Record, form: str, key: str, where: str) -> NoReturn:
    what = f"the file is of format {form}, and this row has no '{key}' but {', '.join(sorted(record))}"
    raise DataError(what, where=where, mend="keep one format a file, and make each file a source of its own")


def label_of(record: Record, where: str) -> bool | None:
    """What the column ``label`` says of the answer: true or false, also as text or as 1 and 0; None without one."""
    value = record.get("label")
    if value is None:
        return None
    if str(value).casefold() not in LABELS:
        mend = "a label is true (a good answer) or false (a bad one)"
        raise DataError(f"the label {value!r} is neither true nor false", where=where, mend=mend)
    return LABELS[str(value).casefold()]


def _alpaca(record: Record, where: str) -> Said:
    question = "\n\n".join(part for part in (_text(record, k, where) for k in ("instruction", "input")) if part)
    return Said([{"role": "user", "content": question}], _text(record, "output", where))


def _messages(record: Record, where: str) -> Said:
    return _parted(_chat(record["messages"], where), where)


def _sharegpt(record: Record, where: str) -> Said:
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


def _prompts(record: Record, where: str) -> Said:
    return Said(_asked(record["prompt"], where), _text(record, "completion", where))


def _preference(record: Record, where: str) -> Said:
    """Prompt, chosen and rejected; the answers are text, or chats whose last turn they are.

    Without ``prompt`` it is what stands before the last turn of the chosen chat.
    """
    chosen, before = _answer(record, "chosen", where)
    rejected = _answer(record, "rejected", where)[0] if record.get("rejected") is not None else None
    if record.get("prompt") is not None:
        return Said(_asked(record["prompt"], where), chosen, rejected)
    if not any(message["role"] != "system" for message in before):
        raise DataError("the row has no 'prompt', and 'chosen' is no chat that holds one", where=where)
    return Said(before, chosen, rejected)


def _answer(record: Record, key: str, where: str) -> tuple[str, Turns]:
    """The answer in ``key`` and, where it is a chat, the turns before it."""
    if isinstance(record[key], str):
        return record[key], []
    *before, last = _chat(record[key], where)
    if last["role"] != "assistant":
        raise DataError(f"'{key}' does not end with a turn of role assistant", where=where)
    return last["content"], before


READERS: dict[str, Callable[[Record, str], Said]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "preference": _preference,
    "prompts": _prompts,
}


def _asked(prompt: Any, where: str) -> Turns:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _chat(prompt, where)


def _parted(messages: Turns, where: str) -> Said:
    """The last assistant turn is the completion; what stands before it is the prompt."""
    if messages[-1]["role"] != "assistant":
        return Said(messages, None)
    *before, last = messages
    if not any(message["role"] != "system" for message in before):
        raise DataError("the chat has an answer and no question", where=where)
    return Said(before, last["content"])


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
