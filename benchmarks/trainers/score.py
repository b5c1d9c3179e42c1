"""Held-out losses of what the contestants made, all by this one scorer, in float32."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def held_out_losses(objective: str, model_dir: Path, adapters: Mapping[str, Path], rows_file: Path) -> dict[str, float]:
    """Loss of the start model (``start``) and of each adapter on it, in nats: a trained token's, or a pair's."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    rows = _examples(objective, rows_file, tokenizer)
    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    of_start = _log_probs(model, rows)
    losses = {"start": _loss(objective, of_start, of_start)}
    for name, folder in adapters.items():
        if not isinstance(model, PeftModel):
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
        else:
            model.load_adapter(str(folder), adapter_name=name)
        model.set_adapter(name)
        losses[name] = _loss(objective, _log_probs(model, rows), of_start)
    return losses


def _examples(objective: str, file: Path, tokenizer: Any) -> list[tuple[list[int], int]]:
    """``(token ids, tokens of the prompt)`` of each answer; of a pair the chosen one, then the rejected one."""
    import pyarrow.parquet as pq

    from kt_resources.trainers.data import rendered_pair

    rows = pq.read_table(file).to_pylist()
    if objective == "sft":
        return [(row["input_ids"], row["loss_mask"].index(1)) for row in rows]
    examples = []
    for row in rows:
        pair = rendered_pair(row, tokenizer)
        prompt = tokenizer(pair["prompt"])["input_ids"]
        for side in ("chosen", "rejected"):
            examples.append((prompt + tokenizer(pair[side])["input_ids"], len(prompt)))
    return examples


def _log_probs(model: Any, examples: list[tuple[list[int], int]]) -> list[tuple[float, int]]:
    """Summed log-probability of each answer, and its number of tokens."""
    import torch

    found = []
    for ids, asked in examples:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, asked - 1 : -1]
        answer = torch.tensor(ids[asked:])
        found.append((logits.log_softmax(-1).gather(1, answer[:, None]).sum().item(), len(answer)))
    return found


def _loss(
    objective: str, found: list[tuple[float, int]], of_start: list[tuple[float, int]], beta: float = 0.1
) -> float:
    """Mean NLL of a token, or DPO's loss of a pair: ``log(1 + exp(−β (Δ chosen − Δ rejected)))``."""
    import math

    if objective == "sft":
        return -sum(log_prob for log_prob, _ in found) / sum(tokens for _, tokens in found)
    gains = [after[0] - before[0] for after, before in zip(found, of_start, strict=True)]
    margins = [beta * (chosen - rejected) for chosen, rejected in zip(gains[::2], gains[1::2], strict=True)]
    return sum(math.log1p(math.exp(-margin)) for margin in margins) / len(margins)
