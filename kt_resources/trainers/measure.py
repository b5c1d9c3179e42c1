"""What can be said of a trained model from its saved files alone: nothing is taken from memory."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.compute.memory.shape import ties_embeddings
from kt_resources.trainers.kinds import load_model, scores
from kt_resources.trainers.release import give_memory_back
from kt_resources.trainers.saving import read_tensor, tensors
from kt_resources.trainers.stored import stored_weight

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Prompt = Sequence[dict[str, str]]

EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight", "wte.weight")
"""How the families' names of the embedding end, GPT-NeoX's and GPT-2's last."""

NO_COMPARISON = 1e9
"""Stands for a distance between things of different shape: beyond any limit, and still a number in JSON."""


@dataclass(frozen=True)
class Probes:
    """What the models are asked.

    Attributes:
        prompts: conversations that end where the assistant answers.
        max_new_tokens: how long a greedy answer may be before it counts as endless.
        trained: logits that the model gave in memory at the end of training, as :func:`probe_logits` has them.
    """

    prompts: Sequence[Prompt] = ()
    max_new_tokens: int = 64
    trained: Sequence["torch.Tensor"] | None = None


def measure(start_dir: Path, artifact_dir: Path, probes: Probes) -> dict[str, Any]:
    """Facts of the model in ``artifact_dir`` against the one it started from (:class:`Facts`, training's aside)."""
    model_dir, adapter_dir = artifact_dir / "model", artifact_dir / "adapter"
    if not model_dir.is_dir():
        return _adapter_only_facts(start_dir, adapter_dir, probes)
    return {
        **_form_facts(start_dir, model_dir),
        **_weight_facts(start_dir, model_dir),
        **_behaviour_facts(start_dir, model_dir, adapter_dir, probes),
        "num_probes": len(probes.prompts),
    }


def _adapter_only_facts(start_dir: Path, adapter_dir: Path, probes: Probes) -> dict[str, Any]:
    """Facts of an adapter that is not merged: form and weights are the start's, what it answers is not."""
    from transformers import AutoTokenizer

    from kt_resources.trainers.adapted import load_adapted
    from kt_resources.trainers.answers import greedy_answers, prompt_ids

    weights = [read_tensor(file, name) for name, file in tensors(adapter_dir).items()]
    facts: dict[str, Any] = {
        **_form_facts(start_dir, start_dir),
        "adapter_only": True,
        "tied_embeddings_survive": True,
        "has_nan": any(bool(tensor.isnan().any()) for tensor in weights),
        "finite": all(bool(tensor.isfinite().all()) for tensor in weights),
        "delta_norm_relative": None,
        "num_changed_tensors": 0,
        "num_tensors": len(weights),
        "num_probes": len(probes.prompts),
    }
    if not probes.prompts:
        return facts
    tokenizer, start = AutoTokenizer.from_pretrained(start_dir), _load(start_dir)
    ids = [prompt_ids(tokenizer, prompt) for prompt in probes.prompts]
    before = _logits(start, ids)
    adapted = load_adapted(start, adapter_dir).eval()
    answers, after = greedy_answers(adapted, tokenizer, probes.prompts, probes.max_new_tokens), _logits(adapted, ids)
    facts["stops_rate"] = sum(answer.stopped for answer in answers) / len(answers)
    facts["kl_to_start"] = _mean_kl(after, before)
    if probes.trained is not None:
        facts["trained_saved_max_logit_diff"] = _max_difference(list(probes.trained), after)
    return facts


# -- the form: tokenizer, template, stop tokens, vocabulary


def _form_facts(start_dir: Path, model_dir: Path) -> dict[str, bool]:
    start, model = _form(start_dir), _form(model_dir)
    names = {
        "tokenizer": "tokenizer_identical",
        "template": "chat_template_identical",
        "eos": "eos_token_id_identical",
        "vocab": "vocab_size_identical",
    }
    return {fact: start[part] == model[part] for part, fact in names.items()}


def _form(folder: Path) -> dict[str, Any]:
    """What must not change, read from the files; None where a file is gone."""
    config, generation = _json(folder / "config.json"), _json(folder / "generation_config.json")
    tokenizer = _json(folder / "tokenizer_config.json")
    template = folder / "chat_template.jinja"
    return {
        "tokenizer": _digest(folder / "tokenizer.json"),
        "template": template.read_text() if template.is_file() else tokenizer.get("chat_template"),
        "eos": (config.get("eos_token_id"), generation.get("eos_token_id"), _token(tokenizer.get("eos_token"))),
        "vocab": (config.get("vocab_size"), _embedding_rows(folder)),
    }


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.is_file() else {}


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _token(value: Any) -> Any:
    return value.get("content") if isinstance(value, dict) else value


def _embedding_rows(folder: Path) -> int | None:
    from safetensors import safe_open

    for name, file in tensors(folder).items():
        if name.endswith(EMBEDDINGS):
            with safe_open(file, framework="pt") as stored:
                return stored.get_slice(name).get_shape()[0]
    return None


# -- the weights


def _weight_facts(start_dir: Path, model_dir: Path) -> dict[str, Any]:
    """How far the weights moved, tensor by tensor, and whether they are numbers."""
    before, after = tensors(start_dir), tensors(model_dir)
    moved, norm, changed, has_nan, finite = 0.0, 0.0, 0, False, True
    for name, file in after.items():
        new = read_tensor(file, name)
        has_nan, finite = has_nan or bool(new.isnan().any()), finite and bool(new.isfinite().all())
        old = read_tensor(before[name], name) if name in before else new.new_zeros(new.shape)
        if old.shape != new.shape:
            moved, changed = math.inf, changed + 1
            continue
        delta = (new.double() - old.double()).norm().item()
        moved, norm, changed = moved + delta**2, norm + old.double().norm().item() ** 2, changed + (delta != 0)
    return {
        "has_nan": has_nan,
        "finite": finite and before.keys() <= after.keys(),
        "delta_norm_relative": min(math.sqrt(moved / norm) if norm else math.inf, NO_COMPARISON),
        "num_changed_tensors": changed,
        "num_tensors": len(after),
    }


# -- the behaviour: reloaded models on the probe prompts


def _behaviour_facts(start_dir: Path, model_dir: Path, adapter_dir: Path, probes: Probes) -> dict[str, Any]:
    from transformers import AutoTokenizer

    from kt_resources.trainers.answers import greedy_answers, prompt_ids

    model = _load(model_dir)
    if scores(model_dir):
        return _score_facts(start_dir, model_dir, adapter_dir, model, probes)
    facts: dict[str, Any] = {"tied_embeddings_survive": _ties_survive(start_dir, model_dir, model)}
    if not probes.prompts:
        return facts
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    ids = [prompt_ids(tokenizer, prompt) for prompt in probes.prompts]
    answers = greedy_answers(model, tokenizer, probes.prompts, probes.max_new_tokens)
    merged = _logits(model, ids)
    del model
    give_memory_back()  # one model in memory at a time
    start_model = _load(start_dir)
    facts["stops_rate"] = sum(answer.stopped for answer in answers) / len(answers)
    facts["kl_to_start"] = _mean_kl(merged, _logits(start_model, ids))
    if probes.trained is not None:
        facts["trained_saved_max_logit_diff"] = _max_difference(list(probes.trained), merged)
    if adapter_dir.is_dir():
        facts |= _adapter_facts(start_model, adapter_dir, ids, merged)
    return facts


def _score_facts(
    start_dir: Path, model_dir: Path, adapter_dir: Path, model: "PreTrainedModel", probes: Probes
) -> dict[str, Any]:
    """A reward model's facts: it has no output embeddings to be tied, and gives a number in place of answers."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    facts: dict[str, Any] = {"tied_embeddings_survive": "score.weight" in tensors(model_dir)}
    if not probes.prompts:
        return facts
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    scored = probe_logits(model, tokenizer, probes.prompts)
    if probes.trained is not None:
        facts["trained_saved_max_logit_diff"] = _max_difference(list(probes.trained), scored)
    if adapter_dir.is_dir():
        adapted = PeftModel.from_pretrained(_load(start_dir), str(adapter_dir)).eval()
        facts["adapter_merged_max_logit_diff"] = _max_difference(
            probe_logits(adapted, tokenizer, probes.prompts), scored
        )
    return facts


def probe_logits(model: Any, tokenizer: Any, prompts: Sequence[Prompt]) -> list["torch.Tensor"]:
    """Logits of each prompt by itself, (tokens, vocabulary) in float32 on the CPU; (1) where the model scores."""
    from kt_resources.trainers.answers import prompt_ids

    return _logits(model, [prompt_ids(tokenizer, prompt) for prompt in prompts])


def _adapter_facts(
    start_model: "PreTrainedModel", adapter_dir: Path, ids: list[list[int]], merged: list["torch.Tensor"]
) -> dict[str, float]:
    from peft import PeftModel

    adapted = _logits(PeftModel.from_pretrained(start_model, str(adapter_dir)).eval(), ids)
    return {
        "adapter_merged_max_logit_diff": _max_difference(adapted, merged),
        "adapter_merged_mean_kl": _mean_kl(adapted, merged),
    }


def _load(folder: Path) -> "PreTrainedModel":
    import torch

    return load_model(folder, dtype=torch.float32).eval()


def _logits(model: Any, ids: list[list[int]]) -> list["torch.Tensor"]:
    """Logits of each prompt by itself, (tokens, vocabulary): no padding takes part."""
    import torch

    with torch.no_grad():
        return [model(input_ids=torch.tensor([row], device=model.device)).logits[0].float().cpu() for row in ids]


def _max_difference(one: list["torch.Tensor"], other: list["torch.Tensor"]) -> float:
    if one[0].shape[-1] != other[0].shape[-1]:
        return NO_COMPARISON
    return max((first - second).abs().max().item() for first, second in zip(one, other, strict=True))


def _mean_kl(one: list["torch.Tensor"], other: list["torch.Tensor"]) -> float:
    """Mean over positions of KL(one ‖ other), in nats."""
    import torch

    if one[0].shape[-1] != other[0].shape[-1]:
        return NO_COMPARISON
    first, second = (torch.cat(list(rows)).log_softmax(-1) for rows in (one, other))
    return (first.exp() * (first - second)).sum(-1).mean().item()


def _ties_survive(start_dir: Path, model_dir: Path, model: "PreTrainedModel") -> bool:
    """The tie flag is the start's; and tied weights are one after a reload, whatever the files hold."""
    tied = [ties_embeddings(_json(folder / "config.json")) for folder in (start_dir, model_dir)]
    if tied[0] != tied[1]:
        return False
    stored = tensors(model_dir)
    embeddings = model.get_input_embeddings(), model.get_output_embeddings()
    names = [stored_weight(model, module) for module in embeddings]
    if not tied[0]:
        return names[1] in stored
    if all(name in stored for name in names):
        embedding, head = (read_tensor(stored[name], name) for name in names)
        return embedding.equal(head)
    return embeddings[0].weight.equal(embeddings[1].weight)
