"""Files of a person's own: every format read, every mistake told with file and line."""

import json

import pytest
from pydantic import TypeAdapter

from kt_assets.sources.read_file import read_file
from kt_resources.errors import DataError
from kt_resources.recipes.data import FileSource
from kt_resources.verifiers import Exact, Verifier, build_verifier

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def read(tmp_path, content, **options):
    path = tmp_path / "mine.jsonl"
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in content]
    path.write_bytes(b"\n".join(lines))
    return list(read_file(path, FileSource(type="jsonl", name="mine", path="mine.jsonl", **options)))


def test_alpaca(tmp_path):
    with_input = {"instruction": "Translate.", "input": "Hund", "output": "dog"}
    rows = read(tmp_path, [with_input, {"instruction": "Say hi", "output": "hi"}])
    assert [row["prompt"][-1]["content"] for row in rows] == ["Translate.\n\nHund", "Say hi"]
    assert [(row["completion"], row["origin"]) for row in rows] == [("dog", "mine.jsonl:1"), ("hi", "mine.jsonl:2")]


def test_messages_of_several_turns(tmp_path):
    turns = [{"role": "system", "content": "S"}, *CHAT["messages"], {"role": "user", "content": "Bye"}]
    (row,) = read(tmp_path, [{"messages": [*turns, {"role": "assistant", "content": "Ciao"}]}])
    assert row["prompt"] == turns
    assert row["completion"] == "Ciao"


def test_prompts_with_completion_answer_and_verification(tmp_path):
    record = {"prompt": "2+2", "completion": "#### 4", "answer": 4, "family": "add"}
    (row,) = read(tmp_path, [record | {"verification": {"type": "integer"}}])
    assert (row["completion"], row["answer"], row["family"]) == ("#### 4", "4", "add")
    assert json.loads(row["verification"]) == {"type": "integer"}


def test_prompts_alone_serve_the_purposes_in_which_the_model_answers(tmp_path):
    (row,) = read(tmp_path, [{"prompt": [{"role": "user", "content": "2+2"}], "answer": "4"}], purpose="rl")
    assert (row["completion"], row["answer"]) == (None, "4")


def test_an_answer_that_is_labelled_wrong_is_not_learned_from(tmp_path):
    row = {"prompt": "1 + 1?", "completion": "3", "label": False}
    with pytest.raises(DataError, match="label says"):
        read(tmp_path, [row])
    (judged,) = read(tmp_path, [row], purpose="preference")
    assert (judged["completion"], judged["label"], judged["rejected"]) == ("3", False, None)


def test_the_rejected_answer_is_kept_where_the_purpose_is_preference(tmp_path):
    pair = {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}
    (for_training,) = read(tmp_path, [pair])
    (judged,) = read(tmp_path, [pair], purpose="preference")
    assert (for_training["completion"], for_training["rejected"]) == ("Hello", None)
    assert (judged["completion"], judged["rejected"]) == ("Hello", "No")
    assert judged["id"] != for_training["id"]
    with pytest.raises(DataError, match="no 'rejected' answer"):
        read(tmp_path, [{"prompt": "Hi", "chosen": "Hello"}], purpose="preference")


def test_what_the_verifier_compares_with_must_be_there_unless_a_person_judged(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"prompt": "Hi", "completion": "Hello"}\n')
    exact = Exact(type="exact")
    source = FileSource(type="jsonl", name="mine", path="r.jsonl", purpose="rl")
    with pytest.raises(DataError, match=r"(?s)no 'answer'.*completion has no '####'"):
        list(read_file(tmp_path / "r.jsonl", source, verifier=exact))
    (row,) = read_file(tmp_path / "r.jsonl", source, verifier=exact.model_copy(update={"answer_marker": None}))
    assert (row["completion"], row["answer"]) == ("Hello", "Hello")
    (tmp_path / "r.jsonl").write_text('{"prompt": "Hi", "chosen": "Hello", "rejected": "No"}\n')
    pairs = source.model_copy(update={"purpose": "preference"})
    assert len(list(read_file(tmp_path / "r.jsonl", pairs, verifier=exact))) == 1


def weighted(*kinds):
    parts = [{"weight": weight, "verifier": kind} for weight, kind in kinds]
    return TypeAdapter(Verifier).validate_python({"type": "weighted", "parts": parts})


def test_of_weighted_verifiers_each_part_finds_what_it_compares_with(tmp_path):
    source = FileSource(type="jsonl", name="mine", path="r.jsonl", purpose="rl")
    (tmp_path / "r.jsonl").write_text('{"prompt": "2 + 3", "completion": "2 and 3 make five. #### 5"}\n')
    form = {"type": "format", "markers": ["####"]}
    verifier = weighted((3, {"type": "exact"}), (1, form))
    (row,) = read_file(tmp_path / "r.jsonl", source, verifier=verifier)
    assert row["answer"] == "5"
    assert build_verifier(verifier)("#### 5", row) == 1.0
    with pytest.raises(DataError, match="no 'verification'"):
        list(
            read_file(
                tmp_path / "r.jsonl", source, verifier=weighted((1, {"type": "exact"}), (1, {"type": "json_schema"}))
            )
        )


def test_a_system_message_goes_where_there_is_none(tmp_path):
    rows = read(tmp_path, [CHAT, {"messages": [{"role": "system", "content": "own"}, *CHAT["messages"]]}], system="S")
    assert [row["prompt"][0]["content"] for row in rows] == ["S", "own"]


def test_blank_lines_byte_order_mark_and_windows_line_ends(tmp_path):
    line = json.dumps(CHAT).encode()
    rows = read(tmp_path, [b"\xef\xbb\xbf" + line + b"\r", b"", b"  \r", line])
    assert [row["origin"] for row in rows] == ["mine.jsonl:1", "mine.jsonl:4"]


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ([], "mine.jsonl", "no rows"),
        ([b"", b"  "], "mine.jsonl", "no rows"),
        ([CHAT, json.dumps(CHAT).encode()[:40]], "mine.jsonl:2", "ends in the middle"),
        ([CHAT, b"{'a': 1}"], "mine.jsonl:2", "no JSON"),
        ([CHAT, b'{"messages": "caf\xe9"}'], "mine.jsonl:2", "not UTF-8"),
        ([CHAT, {"instruction": "a", "output": "b"}], "mine.jsonl:2", "of format messages"),
        ([{"instruction": "a"}], "mine.jsonl:1", "no answer \\('output'\\)"),
        ([{"messages": CHAT["messages"][:1]}], "mine.jsonl:1", "no answer \\(a last turn"),
        ([{"prompt": "a"}], "mine.jsonl:1", "no answer \\('completion'\\)"),
        ([{"question": "a"}], "mine.jsonl:1", "no known format has the columns question"),
        ([["a"]], "mine.jsonl:1", "this is list"),
        ([{"prompt": 3, "completion": "b"}], "mine.jsonl:1", "a chat is a list"),
        ([{"messages": [{"role": "bot", "content": "x"}]}], "mine.jsonl:1", "role 'bot'"),
        ([{"messages": [{"role": "user"}]}], "mine.jsonl:1", "message 1 has no text"),
        ([{"messages": CHAT["messages"][1:]}], "mine.jsonl:1", "an answer and no question"),
        ([{"instruction": "a", "output": 3}], "mine.jsonl:1", "'output' is text"),
        ([b"[" * 100_000], "mine.jsonl:1", "nested too deeply|no JSON|ends in the middle"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, content, where, what):
    with pytest.raises(DataError, match=what) as caught:
        read(tmp_path, content)
    assert caught.value.where == where


def test_a_named_format_is_asked_of_the_first_row_too(tmp_path):
    with pytest.raises(DataError, match="of format alpaca") as caught:
        read(tmp_path, [CHAT], format="alpaca")
    assert caught.value.where == "mine.jsonl:1"


def test_a_missing_file_is_told(tmp_path):
    source = FileSource(type="jsonl", name="mine", path="none.jsonl")
    with pytest.raises(DataError, match="no such file"):
        list(read_file(tmp_path / "none.jsonl", source))
