"""JSON Lines of a person's own: Alpaca, chat messages, prompt-completion, prompts alone."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from kt_resources.errors import DataError
from kt_resources.recipes.data import JsonlSource
from kt_resources.store.schemas import Row, example_row

Record = Mapping[str, Any]
KEY_OF_FORMAT = {"alpaca": "instruction", "messages": "messages", "prompts": "prompt"}
ROLES = ("system", "user", "assistant", "tool")


def read_jsonl(path: Path, source: JsonlSource) -> Iterator[Row]:
    """The rows of a file, one at a time, in the order of its lines; ``origin`` is ``file.jsonl:line``.

    Raises:
        DataError: names file and line: no file, an empty one, a line cut off, text that is not UTF-8, another
            format than the first line's, a missing answer.
    """
    form: str | None = None if source.format == "auto" else source.format
    number = 0
    for number, line in _lines(path):
        where = f"{path.name}:{number}"
        record = _parse(line, where)
        form = form or _format_of(record, where)
        if KEY_OF_FORMAT[form] not in record:
            _refuse_mixed(record, form, where)
        yield _row(record, form, source, where)
    if not number:
        raise DataError("the file has no rows", where=path.name, mend="it holds one JSON object a line")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line that is not blank."""
    if not path.is_file():
        raise DataError("there is no such file", where=str(path), mend="the path counts from the recipe's folder")
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                what = f"byte {error.start + 1} of the line is not UTF-8"
                mend = "convert the file, for example: iconv -f latin1 -t utf-8"
                raise DataError(what, where=f"{path.name}:{number}", mend=mend) from None
            if line:
                yield number, line


def _parse(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(line) - 1 or "Unterminated" in error.msg
        what = "the line ends in the middle of a JSON object" if cut else f"this is no JSON: {error.msg}"
        mend = "one whole JSON object a line; was the file cut off while it was copied?" if cut else ""
        raise DataError(f"{what} (column {error.colno})", where=where, mend=mend) from None
    except RecursionError:
        raise DataError("this JSON is nested too deeply", where=where) from None
    if not isinstance(record, dict):
        raise DataError(f"a row is a JSON object, this is {type(record).__name__}", where=where)
    return record


def _format_of(record: Record, where: str) -> str:
    for form, key in KEY_OF_FORMAT.items():
        if key in record:
            return form
    mend = "Alpaca: instruction, input, output; chat: messages; else: prompt, completion, answer"
    raise DataError(f"no known format has the columns {', '.join(sorted(record))}", where=where, mend=mend)


def _refuse_mixed(record: Record, form: str, where: str) -> NoReturn:
    what = f"the file is of format {form}, and this row has no '{KEY_OF_FORMAT[form]}' but {', '.join(sorted(record))}"
    raise DataError(what, where=where, mend="keep one format a file, and make each file a source of its own")


def _row(record: Record, form: str, source: JsonlSource, where: str) -> Row:
    messages, completion = READERS[form](record, where)
    if completion is None and source.purpose == "train":
        mend = "give it one, or give the source purpose: preference or rl, where the model answers"
        raise DataError(f"the row has no answer ({ANSWER_OF_FORMAT[form]})", where=where, mend=mend)
    if source.system and not any(message["role"] == "system" for message in messages):
        messages = [{"role": "system", "content": source.system}, *messages]
    answer, verification = record.get("answer"), record.get("verification")
    return example_row(
        messages,
        completion if source.purpose == "train" else None,
        source=source.name,
        family=str(record.get("family") or source.name),
        answer=None if answer is None else str(answer),
        verification=json.dumps(verification) if isinstance(verification, dict | list) else verification,
        origin=where,
    )


def _alpaca(record: Record, where: str) -> tuple[list[dict[str, str]], str | None]:
    question = "\n\n".join(part for part in (_text(record, k, where) for k in ("instruction", "input")) if part)
    return [{"role": "user", "content": question}], _text(record, "output", where)


def _messages(record: Record, where: str) -> tuple[list[dict[str, str]], str | None]:
    """The last assistant turn is the completion; what stands before it is the prompt."""
    messages = _chat(record["messages"], where)
    if messages[-1]["role"] == "assistant":
        *messages, last = messages
        if messages:
            return messages, last["content"]
        raise DataError("the chat has an answer and no question", where=where)
    return messages, None


def _prompts(record: Record, where: str) -> tuple[list[dict[str, str]], str | None]:
    prompt = record["prompt"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _chat(prompt, where)
    return turns, _text(record, "completion", where)


READERS: dict[str, Callable[[Record, str], tuple[list[dict[str, str]], str | None]]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "prompts": _prompts,
}
ANSWER_OF_FORMAT = {"alpaca": "'output'", "messages": "a last turn of role assistant", "prompts": "'completion'"}


def _text(record: Record, key: str, where: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"'{key}' is text, this is {type(value).__name__}", where=where)
    return value


def _chat(value: Any, where: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise DataError("a chat is a list of messages with role and content", where=where)
    for index, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise DataError(f"message {index + 1} has no text 'content'", where=where)
        if message.get("role") not in ROLES:
            what = f"message {index + 1} has role {message.get('role')!r}"
            raise DataError(what, where=where, mend=f"one of {', '.join(ROLES)}")
    return [{"role": message["role"], "content": message["content"]} for message in value]
