"""A training step as a plain TRL script: the recipe's numbers, everything else TRL's default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.trainers.trl_script import reward
from kt_resources.recipes.recipe import Step


def train(step: Step, start: Path, rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Train, merge the adapter, save; the folder of the merged checkpoint."""
    from transformers import AutoTokenizer

    trainer = _trainer(step, start, rows, out / "trainer")
    trainer.train()
    model = trainer.accelerator.unwrap_model(trainer.model)
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    merged.save_pretrained(out / "model")
    AutoTokenizer.from_pretrained(start).save_pretrained(out / "model")
    return out / "model"


def _trainer(step: Step, start: Path, rows: Sequence[Mapping[str, Any]], out: Path) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    common, lora = _arguments(step, out), _lora(step)
    objective = step.objective
    if objective.type == "sft":
        tokens = [{"input_ids": row["input_ids"], "completion_mask": row["loss_mask"]} for row in rows]
        arguments = SFTConfig(**common, completion_only_loss=True)
        return SFTTrainer(model=str(start), args=arguments, train_dataset=Dataset.from_list(tokens), peft_config=lora)
    if objective.type == "dpo":
        pairs = Dataset.from_list([_pair(row) for row in rows])
        arguments = DPOConfig(**common, beta=objective.beta)
        return DPOTrainer(model=str(start), args=arguments, train_dataset=pairs, peft_config=lora)
    assert objective.type == "grpo", f"the plain script has no {objective.type}"
    prompts = Dataset.from_list([{name: row[name] for name in ("prompt", "verification")} for row in rows])
    arguments = GRPOConfig(
        **common,
        num_generations=objective.num_generations,
        max_completion_length=objective.max_completion_length,
        temperature=objective.temperature,
    )
    return GRPOTrainer(model=str(start), reward_funcs=reward, args=arguments, train_dataset=prompts, peft_config=lora)


def _arguments(step: Step, out: Path) -> dict[str, Any]:
    import torch

    from kt_resources.compute.precision import cpu_gains_from_bf16

    optimization = step.optimization
    return {
        "output_dir": str(out),
        "max_steps": optimization.max_steps or -1,
        "num_train_epochs": optimization.num_epochs,
        "per_device_train_batch_size": optimization.micro_batch_size,
        "gradient_accumulation_steps": optimization.gradient_accumulation_steps,
        "warmup_steps": optimization.warmup_ratio,
        "learning_rate": optimization.learning_rate,
        "lr_scheduler_type": optimization.lr_scheduler,
        "bf16": torch.cuda.is_available() or cpu_gains_from_bf16(),
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def _lora(step: Step) -> Any:
    from peft import LoraConfig

    update: Any = step.update
    return LoraConfig(task_type="CAUSAL_LM", r=update.r, lora_alpha=2 * update.r, target_modules="all-linear")


def _pair(row: Mapping[str, Any]) -> dict[str, Any]:
    sides = {side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}
    return {"prompt": row["prompt"], **sides}
