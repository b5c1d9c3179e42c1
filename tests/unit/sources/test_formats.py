"""Each format of rows: told from the columns, and parted into prompt and completion."""

import pytest

from kt_assets.sources.formats import format_of, label_of, turns_of
from kt_resources.errors import DataError

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
NO = {"role": "assistant", "content": "No"}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}


@pytest.mark.parametrize(
    ("record", "form"),
    [
        ({"instruction": "Say hi", "input": "", "output": "hi"}, "alpaca"),
        ({"messages": [USER, ASSISTANT]}, "messages"),
        (SHAREGPT, "sharegpt"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "No"}, "preference"),
        ({"prompt": "Hi", "completion": "Hello"}, "prompts"),
        ({"instruction": None, "prompt": "Hi"}, "prompts"),
    ],
)
def test_the_columns_tell_the_format(record, form):
    assert format_of(record, "r.jsonl:1") == form


@pytest.mark.parametrize(
    ("record", "form"),
    [
        (SHAREGPT, "sharegpt"),
        ({"prompt": "Hi", "completion": "Hello"}, "prompts"),
        ({"prompt": "Hi", "chosen": "Hello"}, "preference"),
        ({"messages": [USER, ASSISTANT]}, "messages"),
    ],
)
def test_prompt_and_completion(record, form):
    assert turns_of(record, form, "r.jsonl:1") == ([USER], "Hello", None)


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
        {"prompt": [USER], "chosen": [USER, ASSISTANT], "rejected": [USER, NO]},
        {"chosen": [USER, ASSISTANT], "rejected": [USER, NO]},  # the prompt stands in the chats alone
    ],
)
def test_a_preference_row_has_both_answers(record):
    assert format_of(record, "r.jsonl:1") == "preference"
    assert turns_of(record, "preference", "r.jsonl:1") == ([USER], "Hello", "No")


def test_sharegpt_keeps_its_system_message_and_a_last_question_is_a_prompt():
    record = {"system": "S", "conversations": SHAREGPT["conversations"][:1]}
    assert turns_of(record, "sharegpt", "r.jsonl:1") == ([{"role": "system", "content": "S"}, USER], None, None)


@pytest.mark.parametrize(
    ("record", "form", "what"),
    [
        ({"conversations": []}, "sharegpt", "list of turns"),
        ({"conversations": [{"from": "bing", "value": "x"}]}, "sharegpt", "turn 1 is from 'bing'"),
        ({"conversations": [{"from": "gpt"}]}, "sharegpt", "turn 1 has no text 'value'"),
        ({"system": "S", "conversations": SHAREGPT["conversations"][1:]}, "sharegpt", "an answer and no question"),
        ({"prompt": "Hi", "chosen": [USER]}, "preference", "does not end with a turn of role assistant"),
        ({"prompt": "Hi", "completion": "Hello"}, "preference", "no 'chosen' but completion, prompt"),
        ({"chosen": "Hello", "rejected": "No"}, "preference", "no 'prompt'"),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": [USER]}, "preference", "'rejected' does not end"),
    ],
)
def test_what_a_format_refuses(record, form, what):
    with pytest.raises(DataError, match=what) as caught:
        turns_of(record, form, "r.jsonl:7")
    assert caught.value.where == "r.jsonl:7"


@pytest.mark.parametrize(("value", "label"), [(True, True), ("False", False), (1, True), (0.0, False), (None, None)])
def test_a_label_is_true_or_false_in_whatever_form(value, label):
    assert label_of({"label": value}, "rows.jsonl:1") is label


def test_another_label_is_refused():
    with pytest.raises(DataError, match="'good' is neither"):
        label_of({"label": "good"}, "rows.jsonl:1")
