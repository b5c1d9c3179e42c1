"""Rollouts on a CPU: the adapter folded in, each prompt read once a group, ended completions out of the batch.

transformers' ``generate`` runs an adapter's small products at every token, reads a prompt once for each completion of
its group, and computes on for completions that have ended.

In bfloat16 a folded weight is rounded where an adapter's product is: on 384 tokens drawn by the 135M model the two
differ by 0.034 nats a token on average, and each lies 0.024 from float32's (mean importance ratio 0.999).

Loaded only inside the training program; it imports torch at the top.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from kt_resources.trainers.lora_product import is_plain_lora


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
        if not alone or images or multimodal_fields or self.use_vllm or not can_fold(model):
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
    """Whether ``model`` has no adapter, or plain LoRA on linear layers alone."""
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return True
    prompts = any(config.is_prompt_learning for config in model.peft_config.values())
    tuners = [module for module in model.modules() if _is_tuner(module)]
    return not prompts and bool(tuners) and all(map(is_plain_lora, tuners))


def _is_tuner(module: torch.nn.Module) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer)


@contextlib.contextmanager
def folded(model: Any) -> Iterator[Any]:
    """The model in evaluation mode without an adapter, W + s B A in its layers' place; as it was afterwards.

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
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = torch.nn.Parameter(weight.to(layer.base_layer.weight.dtype), requires_grad=False)
    linear.bias = layer.base_layer.bias
    return linear


# -- completions


def sample(model: Any, prompts: Sequence[Sequence[int]], drawing: Drawing) -> list[list[int]]:
    """A completion of each prompt, its stop token included; equal prompts are read once.

    Draws come from torch's own random state.
    """
    rows = _Rows.read(model, prompts)
    found: list[list[int]] = [[] for _ in prompts]
    stops = torch.tensor(drawing.stops, dtype=torch.long)
    for number in range(drawing.max_new_tokens):
        tokens = draw(rows.logits, drawing.temperature, drawing.top_p)
        for row, token in zip(rows.places.tolist(), tokens.tolist(), strict=True):
            found[row].append(token)
        going = ~torch.isin(tokens, stops)
        if number + 1 == drawing.max_new_tokens or not going.any():
            break
        rows.keep(going)
        rows.step(model, tokens[going])
    return found


def draw(logits: torch.Tensor, temperature: float, top_p: float = 1.0) -> torch.Tensor:
    """A token of each row of ``logits`` (rows, vocabulary); nucleus of mass ``top_p`` (arXiv:1904.09751)."""
    probabilities = (logits.float() / temperature).softmax(-1)
    if top_p < 1.0:
        ordered, order = probabilities.sort(-1, descending=True)
        beyond = ordered.cumsum(-1) - ordered >= top_p
        probabilities = probabilities.masked_fill(beyond.gather(-1, order.argsort(-1)), 0.0)
    sums = probabilities.double().cumsum(-1)
    places = torch.rand(len(sums), 1, dtype=torch.double) * sums[:, -1:]
    return torch.searchsorted(sums, places, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


class _Rows:
    """The completions under way: their cache, what they see, and the logits of the next token.

    Attributes:
        places: the prompt that each row continues.
        mask: (rows, tokens so far), 0 where padding stands on the left.
    """

    def __init__(self, cache: Any, mask: torch.Tensor, logits: torch.Tensor) -> None:
        self.cache, self.mask, self.logits = cache, mask, logits
        self.places = torch.arange(len(mask))

    @classmethod
    def read(cls, model: Any, prompts: Sequence[Sequence[int]]) -> "_Rows":
        """Read each distinct prompt, and give every prompt a row."""
        distinct = {tuple(prompt): index for index, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
        width = max(map(len, distinct))
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in distinct])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in distinct])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=model.config)
        logits = _next_logits(model, ids, mask, positions, cache)
        chosen = torch.tensor([distinct[tuple(prompt)] for prompt in prompts])
        cache.batch_select_indices(chosen)
        return cls(cache, mask[chosen], logits[chosen])

    def keep(self, going: torch.Tensor) -> None:
        """Drop the rows that have ended."""
        if going.all():
            return
        rows = going.nonzero().squeeze(-1)
        self.cache.batch_select_indices(rows)
        self.mask, self.places = self.mask[rows], self.places[rows]

    def step(self, model: Any, tokens: torch.Tensor) -> None:
        """Append a token to each row."""
        positions = self.mask.sum(-1, keepdim=True)
        self.mask = torch.cat([self.mask, torch.ones_like(positions)], dim=-1)
        self.logits = _next_logits(model, tokens[:, None], self.mask, positions, self.cache)


def _next_logits(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any
) -> torch.Tensor:
    options = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, **options).logits[:, -1]
