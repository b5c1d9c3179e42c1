"""Contestant: TRL as it comes, a plain script. ``python -m benchmarks.trainers.trl_script job.json``.

Everything that the job does not name stays TRL's default.
"""

import sys
from pathlib import Path
from typing import Any

from benchmarks.trainers.job import Job, read_job


def sft_rows(job: Job) -> Any:
    """``input_ids`` and ``completion_mask``: the tokens that the others learn, so that losses can be compared."""
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=job.rows_file, split="train")
    return rows.select_columns(["input_ids", "loss_mask"]).rename_column("loss_mask", "completion_mask")


def pair_rows(job: Job) -> Any:
    """Conversational preference rows."""
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=job.rows_file, split="train")

    def conversational(row: dict[str, Any]) -> dict[str, Any]:
        sides = {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
        return {"prompt": row["prompt"], **sides}

    return rows.map(conversational, remove_columns=rows.column_names)


def prompt_rows(job: Job) -> Any:
    """Prompts, and what the reward needs."""
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=job.rows_file, split="train")
    return rows.select_columns(["prompt", "verification"])


def reward(completions: list[Any], verification: list[str], **_: Any) -> list[float]:
    """reasoning-gym's own score of what stands after the marker."""
    import json

    import reasoning_gym

    scores = []
    for completion, text in zip(completions, verification, strict=True):
        task, answer = json.loads(text), completion[0]["content"].rpartition("####")[2].strip()
        score = reasoning_gym.get_score_answer_fn(task["dataset"])(answer=answer, entry=task["entry"])
        scores.append(float(score if "####" in completion[0]["content"] else 0.0))
    return scores


def main(job_file: str) -> None:
    """Train and save the adapter."""
    job = read_job(job_file)
    from benchmarks.trainers.turns import sit_down

    sit_down(Path(job.table_dir), job.place, job.num_places, Path(job.out_dir))
    trainer = _trainer(job)
    trainer.train()
    trainer.save_model(str(Path(job.out_dir) / "adapter"))


def _trainer(job: Job) -> Any:
    import torch
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    common: dict[str, Any] = {
        "output_dir": job.out_dir,
        "max_steps": job.steps,
        "per_device_train_batch_size": job.batch,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": job.warmup_steps,
        "seed": job.seed,
        "bf16": job.bf16,
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
    }
    lora = LoraConfig(task_type="CAUSAL_LM", r=job.rank, lora_alpha=job.alpha, target_modules="all-linear")
    if job.objective == "sft":
        arguments = SFTConfig(**common, completion_only_loss=True)
        return SFTTrainer(model=job.model_dir, args=arguments, train_dataset=sft_rows(job), peft_config=lora)
    if job.objective == "dpo":
        arguments = DPOConfig(**common, beta=job.beta)
        return DPOTrainer(model=job.model_dir, args=arguments, train_dataset=pair_rows(job), peft_config=lora)
    arguments = GRPOConfig(
        **common, num_generations=job.num_generations, max_completion_length=job.max_completion_length
    )
    return GRPOTrainer(
        model=job.model_dir, reward_funcs=reward, args=arguments, train_dataset=prompt_rows(job), peft_config=lora
    )


if __name__ == "__main__":
    main(sys.argv[1])
