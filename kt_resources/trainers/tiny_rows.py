"""Small Parquet files of each kind of rows for the tiny model: for tests and for trying the program by hand."""

from pathlib import Path
from typing import Any

from kt_resources.store.rows import row_id


def sums(num_rows: int, start: int = 0) -> list[dict[str, Any]]:
    """Rows ``a + b = ?`` with their answers, in the columns of an example row that training reads."""
    rows = []
    for number in range(start, start + num_rows):
        first, second = number % 7, (number * 3) % 5
        question, answer = f"What is {first} + {second}? Item {number}.", str(first + second)
        prompt = [{"role": "user", "content": question}]
        rows.append({"id": row_id(question), "prompt": prompt, "completion": f"#### {answer}", "answer": answer})
    return rows


def write_tokenized(rows: list[dict[str, Any]], model_dir: Path, file: Path) -> Path:
    """Tokenized rows: loss on the answer and its stop token."""
    from transformers import AutoTokenizer

    from kt_resources.trainers.answers import prompt_ids

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    tokenized = []
    for row in rows:
        asked = prompt_ids(tokenizer, row["prompt"])
        answered = [*tokenizer(row["completion"])["input_ids"], tokenizer.eos_token_id]
        mask = [0] * len(asked) + [1] * len(answered)
        tokenized.append(row | {"input_ids": asked + answered, "loss_mask": mask})
    return write(tokenized, file)


def write_pairs(rows: list[dict[str, Any]], file: Path) -> Path:
    """Preference pairs: the right answer over a wrong one."""
    pairs = [
        {"id": row["id"], "prompt": row["prompt"], "chosen": row["completion"], "rejected": "I am not sure."}
        for row in rows
    ]
    return write(pairs, file)


def write_labels(rows: list[dict[str, Any]], file: Path) -> Path:
    """Labelled answers: every other row has the right one, the rest a wrong one."""
    labels = [
        {
            "id": row["id"],
            "prompt": row["prompt"],
            "completion": row["completion"] if number % 2 else "I am not sure.",
            "label": bool(number % 2),
        }
        for number, row in enumerate(rows)
    ]
    return write(labels, file)


def write_prompts(rows: list[dict[str, Any]], file: Path) -> Path:
    """Prompt rows: no completion."""
    return write([row | {"completion": None} for row in rows], file)


def write(rows: list[dict[str, Any]], file: Path) -> Path:
    """Rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file
