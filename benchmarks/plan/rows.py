"""Rows of an exact length for each kind of dataset; what they say does not matter to memory or time."""

import random
from pathlib import Path
from typing import Any

from benchmarks.plan.configurations import ANSWER_SHARE
from kt_resources.trainers.tiny_rows import write

WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "was",
    "on",
    "are",
    "as",
    "with",
    "his",
    "they",
    "at",
)
SCORER = "def score(completion, row):\n    return min(1.0, completion.count('e') / 40)\n"


def write_rows(kind: str, length: int, num_rows: int, model_dir: Path, folder: Path) -> None:
    """``train.parquet`` and ``validation.parquet`` of ``kind`` (an objective's ``rows``), each row ``length`` tokens.

    Prompts of reinforcement learning are ``length`` tokens without their completions.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    make = {"tokenized": _tokenized, "preference_pairs": _pair, "prompts": _prompt}[kind]
    for split, count in {"train": num_rows, "validation": max(2, num_rows // 4)}.items():
        rng = random.Random(f"{split} {length}")
        write([make(f"{split}-{index}", length, tokenizer, rng) for index in range(count)], folder / f"{split}.parquet")
    (folder / "rewards.py").write_text(SCORER)


def _words(count: int, rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def _asked(num_tokens: int, tokenizer: Any, rng: random.Random) -> list[dict[str, str]]:
    """A conversation of one turn that is ``num_tokens`` under the chat template, up to where the assistant answers."""
    from kt_resources.trainers.answers import prompt_ids

    frame = len(prompt_ids(tokenizer, [{"role": "user", "content": "the"}])) - 1
    return [{"role": "user", "content": _words(max(1, num_tokens - frame), rng)}]


def _tokenized(name: str, length: int, tokenizer: Any, rng: random.Random) -> dict[str, Any]:
    answer = round(ANSWER_SHARE * length)
    prompt = _asked(32, tokenizer, rng)
    ids = [rng.randrange(100, len(tokenizer)) for _ in range(length - 1)] + [tokenizer.eos_token_id]
    mask = [0] * (length - answer) + [1] * answer
    return {"id": name, "prompt": prompt, "input_ids": ids, "loss_mask": mask}


def _pair(name: str, length: int, tokenizer: Any, rng: random.Random) -> dict[str, Any]:
    answer = round(ANSWER_SHARE * length)
    prompt = _asked(length - answer, tokenizer, rng)
    chosen, rejected = (_words(answer - 1, rng) for _ in range(2))
    return {"id": name, "prompt": prompt, "chosen": chosen, "rejected": rejected}


def _prompt(name: str, length: int, tokenizer: Any, rng: random.Random) -> dict[str, Any]:
    return {"id": name, "prompt": _asked(length, tokenizer, rng), "completion": None, "answer": "e"}
