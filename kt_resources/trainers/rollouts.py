"""Rollouts on a CPU: the adapter folded in, each prompt read once a group, ended completions out of the batch.

transformers' ``generate`` runs an adapter's small products at every token, reads a prompt once for each completion of
its group, computes on for completions that have ended, and copies all keys and values at every token.

In bfloat16 a folded weight is rounded where an adapter's product is: on 384 tokens drawn by the 135M model the two
differ by 0.034 nats a token on average, and each lies 0.024 from float32's (mean importance ratio 0.999).

Loaded only inside the training program; it imports torch at the top.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.variants import DoraLinearVariant

from kt_resources.decoding.context import Feed, in_micro_batches
from kt_resources.decoding.plain import is_plain
from kt_resources.decoding.slots import SlotContext, attending_in_slots
from kt_resources.trainers.lora_product import is_linear_lora

BLOCK = 256
"""Tokens whose probabilities are summed up together where one is drawn."""


class FoldedRollouts:
    """Mixed in before TRL's GRPOTrainer: its completions come from here where one process trains on a CPU."""

    def _generate_single_turn(
        self: Any,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        alone = self.accelerator.device.type == "cpu" and self.accelerator.num_processes == 1
        model = self.accelerator.unwrap_model(self.model)
        ours = can_fold(model) and is_plain(model.config.to_dict())
        if not alone or images or multimodal_fields or self.use_vllm or not ours:
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *args, **kwargs)  # type: ignore[misc]
        stops = (*self.eos_token_ids, self._tokenizer.eos_token_id)
        config = self.generation_config
        drawing = Drawing(self.max_completion_length, self.temperature, config.top_p or 1.0, stops)
        with folded(model) as plain:
            return sample(plain, prompt_ids, drawing), None


@dataclass(frozen=True)
class Drawing:
    """How completions are drawn: until one of ``stops``, which belongs to the completion."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stops: tuple[int, ...] = ()


# -- the adapter


def can_fold(model: torch.nn.Module) -> bool:
    """Whether ``model`` has no adapter, or LoRA or DoRA on linear layers alone."""
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return True
    prompts = any(config.is_prompt_learning for config in model.peft_config.values())
    tuners = [module for module in model.modules() if _is_tuner(module)]
    return not prompts and bool(tuners) and all(map(_can_fold_layer, tuners))


def _can_fold_layer(layer: Any) -> bool:
    return is_linear_lora(layer) and all(isinstance(one, DoraLinearVariant) for one in layer.lora_variant.values())


def _is_tuner(module: torch.nn.Module) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer)


@contextlib.contextmanager
def folded(model: Any) -> Iterator[Any]:
    """The model in evaluation mode without an adapter, W + s B A in its layers' place; as it was afterwards.

    Of DoRA (arXiv:2402.09353, eq. 5) it is m (W + s B A) / ‖W + s B A‖, the norms of what an output reads.

    Sums are made in float32 and rounded once, to the layer's own type.
    """
    training = model.training
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    found = [(parent, name, layer) for parent in base.modules() for name, layer in parent.named_children()]
    layers = [(parent, name, layer) for parent, name, layer in found if _is_tuner(layer)]
    model.eval()
    try:
        with torch.no_grad():
            for parent, name, layer in layers:
                setattr(parent, name, _folded_layer(layer))
            yield base
    finally:
        for parent, name, layer in layers:
            setattr(parent, name, layer)
        model.train(training)


def _folded_layer(layer: Any) -> torch.nn.Linear:
    weight = layer.base_layer.weight.float()
    for name in layer.active_adapters:
        weight = weight + layer.scaling[name] * (layer.lora_B[name].weight.float() @ layer.lora_A[name].weight.float())
        if name in layer.lora_variant:
            magnitude = layer.lora_magnitude_vector[name].weight.float()
            weight = weight * (magnitude / torch.linalg.norm(weight, dim=1)).unsqueeze(1)
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = torch.nn.Parameter(weight.to(layer.base_layer.weight.dtype), requires_grad=False)
    linear.bias = layer.base_layer.bias
    return linear


# -- completions


def sample(model: Any, prompts: Sequence[Sequence[int]], drawing: Drawing) -> list[list[int]]:
    """A completion of each prompt, its stop token included; equal prompts are read once.

    Draws come from torch's own random state.
    """
    found: list[list[int]] = [[] for _ in prompts]
    stops = torch.tensor(drawing.stops, dtype=torch.long)
    rows = torch.arange(len(prompts))
    length = max(map(len, prompts)) + drawing.max_new_tokens
    with attending_in_slots(model), closing(SlotContext(model, len(prompts), length)) as context:
        logits = read(context, prompts)
        for number in range(drawing.max_new_tokens):
            tokens = draw(logits, drawing.temperature, drawing.top_p)
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
                found[row].append(token)
            going = ~torch.isin(tokens, stops)
            if number + 1 == drawing.max_new_tokens or not going.any():
                break
            rows = rows[going]
            last = zip(tokens[going].tolist(), rows.tolist(), strict=True)
            context.decode([Feed(token, context.used[row], row, True) for token, row in last])
            logits = context.wanted
    return found


def read(context: SlotContext, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Read each distinct prompt into the slots of all that are equal to it; (prompts, vocabulary) of what follows."""
    firsts: dict[tuple[int, ...], int] = {}
    for row, prompt in enumerate(prompts):
        firsts.setdefault(tuple(prompt), row)
    after: dict[int, torch.Tensor] = {}
    for part in in_micro_batches(firsts.items(), lambda item: len(item[0])):
        feeds = [Feed(token, place, row, place + 1 == len(ids)) for ids, row in part for place, token in enumerate(ids)]
        context.decode(feeds)
        after |= {row: context.wanted[index] for index, (_, row) in enumerate(part)}
    for row, prompt in enumerate(prompts):
        if (first := firsts[tuple(prompt)]) != row:
            context.copy(first, row)
    return torch.stack([after[firsts[tuple(prompt)]] for prompt in prompts])


def draw(logits: torch.Tensor, temperature: float, top_p: float = 1.0) -> torch.Tensor:
    """A token of each row of ``logits`` (rows, vocabulary); nucleus of mass ``top_p`` (arXiv:1904.09751).

    A row's mass is summed up by blocks of tokens, and token by token in the block alone that is drawn: a seventh of the
    time, the same draws.
    """
    probabilities = (logits.float() / temperature).softmax(-1)
    if top_p < 1.0:
        ordered, order = probabilities.sort(-1, descending=True)
        beyond = ordered.cumsum(-1) - ordered >= top_p
        probabilities = probabilities.masked_fill(beyond.gather(-1, order.argsort(-1)), 0.0)
    padded = torch.nn.functional.pad(probabilities, (0, -logits.shape[-1] % BLOCK))
    blocks = padded.view(len(padded), -1, BLOCK)
    sums = blocks.sum(-1).double().cumsum(-1)
    places = torch.rand(len(sums), 1, dtype=torch.double) * sums[:, -1:]
    chosen = torch.searchsorted(sums, places, right=True).clamp(max=sums.shape[-1] - 1)
    before = torch.where(chosen > 0, sums.gather(-1, (chosen - 1).clamp(min=0)), 0.0)
    inside = blocks[torch.arange(len(blocks)), chosen.squeeze(-1)].double().cumsum(-1)
    rest = torch.minimum(places - before, inside[:, -1:] * (1 - 1e-9))  # rounding must not draw what has no mass
    place = torch.searchsorted(inside, rest, right=True).clamp(max=BLOCK - 1)
    return (chosen * BLOCK + place).squeeze(-1).clamp(max=logits.shape[-1] - 1)
