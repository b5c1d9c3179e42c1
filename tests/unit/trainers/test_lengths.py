"""Lengths of rows of every kind: counted where they stand, bounded where they do not."""

from pathlib import Path

from kt_resources.trainers.lengths import bounded_lengths, counted_lengths
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.spec import Optimization
from kt_resources.trainers.tiny_rows import write


def test_tokenized_rows_are_counted_as_they_stand(tmp_path: Path) -> None:
    """Rows of 5 and 3 tokens, 2 and 1 of them trained; two held out."""
    rows = [
        {"id": "a", "input_ids": [1, 2, 3, 4, 5], "loss_mask": [0, 0, 0, 1, 1]},
        {"id": "b", "input_ids": [1, 2, 3], "loss_mask": [0, 0, 1]},
    ]
    write(rows, tmp_path / "train.parquet")
    write(rows, tmp_path / "validation.parquet")
    lengths = counted_lengths(tmp_path, tmp_path / "absent.json")
    assert (lengths.longest, lengths.mean, lengths.scored, lengths.mean_scored) == (5, 4.0, 2, 1.5)
    assert (lengths.num_rows, lengths.num_validation_rows, lengths.known) == (2, 2, True)


def test_pairs_are_counted_by_the_tokenizer_near_what_training_reads(tmp_path: Path, tiny_model_dir: Path) -> None:
    from transformers import AutoTokenizer

    from kt_resources.trainers.data import rendered_pair

    pair = {
        "id": "a",
        "prompt": [{"role": "user", "content": "What is 12 + 30?"}],
        "chosen": "#### 42",
        "rejected": "The sum of these two numbers may well be forty",
    }
    write([pair], tmp_path / "train.parquet")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    read = rendered_pair(pair, tokenizer)
    exact = len(tokenizer(read["prompt"] + read["rejected"])["input_ids"])
    counted = counted_lengths(tmp_path, tiny_model_dir / "tokenizer.json")
    assert abs(counted.longest - exact) <= 8
    assert counted.scored == len(tokenizer(read["rejected"])["input_ids"])


def test_prompts_leave_room_for_their_completions() -> None:
    """1024 tokens in all, 64 of them the completion's; rows that curation bounds at 200 are no longer than that."""
    grpo = OBJECTIVES["grpo"](max_completion_length=64)
    assert bounded_lengths(grpo, Optimization(max_seq_len=1024)).longest == 960
    assert bounded_lengths(grpo, Optimization(max_seq_len=1024), limit=200).longest == 200
    assert not bounded_lengths(grpo, Optimization()).known
