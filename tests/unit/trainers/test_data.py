"""Rows are checked before training begins, and a bad one is named."""

from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import TrainingError
from kt_resources.trainers.data import check_pairs, check_prompts, check_tokenized, read_rows, rendered_pair
from kt_resources.trainers.tiny_rows import write

EOS = 2
FILE = Path("train.parquet")


@pytest.fixture
def tokenizer(tiny_model_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_dir)


def _row(ids: list[int], mask: list[int]) -> dict[str, Any]:
    return {"id": "abc", "input_ids": ids, "loss_mask": mask}


def test_a_good_row_passes() -> None:
    check_tokenized([_row([5, 6, 7, EOS], [0, 0, 1, 1])], EOS, 8, FILE)


@pytest.mark.parametrize(
    ("ids", "mask", "what"),
    [
        ([5, 6, 7, EOS], [0, 0, 0, 0], "mask is empty"),
        ([5, 6, 7, EOS], [1, 0, 0, 0], "mask is empty"),  # the first token is never predicted
        ([5, 6, 7, EOS], [0, 0, 1, 0], "stop token"),
        ([5, EOS, 7, 8], [0, 0, 1, 1], "stop token"),  # only the prompt's stop token, which is not trained
        ([5, 6, 7, 8, 9, 10, 11, 12, EOS], [0, 0, 0, 0, 1, 1, 1, 1, 1], "do not fit"),
        ([5, 6, EOS], [1, 1], "differ in length"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_named(ids: list[int], mask: list[int], what: str) -> None:
    with pytest.raises(TrainingError, match=what) as caught:
        check_tokenized([_row([5, EOS], [0, 1]), _row(ids, mask)], EOS, 8, FILE)
    assert "row abc" in str(caught.value)


def test_a_file_without_the_column_or_without_rows_is_refused(tmp_path: Path) -> None:
    file = write([{"id": "a", "text": "b"}], tmp_path / "rows.parquet")
    with pytest.raises(TrainingError, match="no column input_ids"):
        read_rows(file, ("id", "input_ids"))
    with pytest.raises(TrainingError, match="no such file"):
        read_rows(tmp_path / "absent.parquet", ("id",))
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    with pytest.raises(TrainingError, match="no rows"):
        read_rows(tmp_path / "empty.parquet", ("id",))


def test_a_pair_is_rendered_as_the_template_renders_it_up_to_the_stop_token(tokenizer: Any) -> None:
    row = {"id": "a", "prompt": [{"role": "user", "content": "2 + 2?"}], "chosen": "4", "rejected": "5"}
    pair = rendered_pair(row, tokenizer)
    assert pair["prompt"].endswith("<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n")
    assert (pair["chosen"], pair["rejected"]) == ("4<|im_end|>", "5<|im_end|>")
    check_pairs([pair], tokenizer, 64, FILE)


def test_a_tokenizer_that_adds_its_own_first_token_gets_it_once(tokenizer: Any) -> None:
    class AddsBos:
        """A tokenizer whose template writes the first token and whose call adds it too."""

        bos_token, bos_token_id, eos_token = "<s>", 1, "</s>"

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [1, 7]}

        def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
            return "<s>" + "".join(f"[{message['content']}]" for message in messages)

    pair = rendered_pair({"id": "a", "prompt": [{"content": "q"}], "chosen": "x", "rejected": "y"}, AddsBos())
    assert pair["prompt"] == "[q]"


def test_equal_answers_and_long_pairs_are_refused(tokenizer: Any) -> None:
    pair = {"id": "abc", "prompt": "a", "chosen": "4<|im_end|>", "rejected": "4<|im_end|>"}
    with pytest.raises(TrainingError, match="same answer"):
        check_pairs([pair], tokenizer, 64, FILE)
    for long in ("4" * 80, "𝟒" * 30):  # of fewer characters than the other answer, of more tokens
        with pytest.raises(TrainingError, match="do not fit"):
            check_pairs([pair | {"chosen": long, "rejected": " " * 50}], tokenizer, 64, FILE)


def test_an_answer_that_the_template_cuts_is_rendered_as_it_is(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content']", "message['content'].split('@')[-1]")
    row = {"id": "a", "prompt": [{"role": "user", "content": "q"}], "chosen": "2 + 3 @ 5", "rejected": "5"}
    pair = rendered_pair(row, tokenizer)
    assert (pair["chosen"], pair["rejected"]) == ("2 + 3 @ 5<|im_end|>", "5<|im_end|>")


def test_a_prompt_that_leaves_no_room_is_refused(tokenizer: Any) -> None:
    row = {"id": "abc", "prompt": [{"role": "user", "content": "1" * 50}]}
    check_prompts([row], tokenizer, 128, FILE)
    with pytest.raises(TrainingError, match="row abc"):
        check_prompts([row], tokenizer, 60, FILE)
