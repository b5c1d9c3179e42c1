"""Contestant: LLaMA-Factory, in an environment of its own. ``<its python> llamafactory_script.py job.json``.

It is given the very tokens of the others, in its own form of a tokenized data set. What the job does not name stays
LLaMA-Factory's default.
"""

import json
import sys
from pathlib import Path
from typing import Any


def write_tokens(job: dict[str, Any], folder: Path) -> None:
    """``input_ids``, ``attention_mask`` and ``labels`` as LLaMA-Factory keeps its tokenized rows."""
    import pyarrow.parquet as pq
    from datasets import Dataset, DatasetDict

    rows = pq.read_table(job["rows_file"], columns=["input_ids", "loss_mask"]).to_pylist()
    tokenized = [
        {
            "input_ids": row["input_ids"],
            "attention_mask": [1] * len(row["input_ids"]),
            "labels": [token if kept else -100 for token, kept in zip(row["input_ids"], row["loss_mask"], strict=True)],
        }
        for row in rows
    ]
    DatasetDict({"train": Dataset.from_list(tokenized)}).save_to_disk(str(folder))


def arguments(job: dict[str, Any], tokens: Path) -> dict[str, Any]:
    """LLaMA-Factory's own options."""
    import torch

    return {
        "model_name_or_path": job["model_dir"],
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": job["rank"],
        "lora_alpha": job["alpha"],
        "lora_target": "all",
        "template": "smollm2",
        "dataset": "tokenized",  # must be named, and is not read where tokens are given
        "tokenized_path": str(tokens),
        "output_dir": str(Path(job["out_dir"]) / "adapter"),
        "per_device_train_batch_size": job["batch"],
        "gradient_accumulation_steps": 1,
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": job["warmup_steps"],
        "max_steps": job["steps"],
        "seed": job["seed"],
        "bf16": job["bf16"],
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }


def main(job_file: str) -> None:
    """Train; LLaMA-Factory saves the adapter."""
    sys.path.insert(0, str(Path(__file__).parent))
    from turns import sit_down  # type: ignore[import-not-found]

    job = json.loads(Path(job_file).read_text())
    out = Path(job["out_dir"])
    write_tokens(job, out / "tokens")
    sit_down(Path(job["table_dir"]), job["place"], job["num_places"], out)
    from llamafactory.train.tuner import run_exp

    run_exp(arguments(job, out / "tokens"))


if __name__ == "__main__":
    main(sys.argv[1])
