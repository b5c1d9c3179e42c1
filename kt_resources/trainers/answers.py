"""Answers to prompts: for samples before and after, for held-out rewards, for whether a model stops."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Answer:
    """A completion: its text without special tokens, its length in tokens, whether it ended with a stop token."""

    text: str
    num_tokens: int
    stopped: bool


@dataclass(frozen=True)
class Draw:
    """How answers are drawn, and from which seed."""

    temperature: float
    top_p: float
    seed: int


ANSWERED_AT_ONCE = 32


def greedy_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[Any]],
    max_new_tokens: int,
) -> list[Answer]:
    """One greedy answer to each prompt (a list of messages), in the prompts' order.

    Prompts are batched by length and padded on the left; sampling state is left untouched.
    """
    return _answers(model, tokenizer, prompts, {"max_new_tokens": max_new_tokens, "do_sample": False})


def drawn_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[Any]],
    max_new_tokens: int,
    draw: Draw,
) -> list[Answer]:
    """One answer to each prompt, drawn at random; the same seed draws the same, and nobody else's draws change."""
    import torch

    options = {"do_sample": True, "temperature": draw.temperature, "top_p": draw.top_p, "top_k": 0}
    with torch.random.fork_rng():
        torch.manual_seed(draw.seed)
        return _answers(model, tokenizer, prompts, {"max_new_tokens": max_new_tokens, **options})


def _answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[Any]],
    options: dict[str, Any],
) -> list[Answer]:
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    answers: dict[int, Answer] = {}
    with _answering(model):
        for start in range(0, len(order), ANSWERED_AT_ONCE):
            batch = order[start : start + ANSWERED_AT_ONCE]
            found = _answer_batch(model, tokenizer, [ids[index] for index in batch], options)
            answers |= dict(zip(batch, found, strict=True))
    return [answers[index] for index in range(len(ids))]


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", prompt: Sequence[Any]) -> list[int]:
    """The prompt's token ids under the tokenizer's chat template, up to where the assistant answers."""
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


@contextlib.contextmanager
def _answering(model: "PreTrainedModel") -> Iterator[None]:
    import torch

    training, use_cache = model.training, model.config.use_cache
    model.eval()
    model.config.use_cache = True
    try:
        with torch.no_grad():
            yield
    finally:
        model.config.use_cache = use_cache
        model.train(training)


def _answer_batch(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", ids: list[list[int]], options: dict[str, Any]
) -> list[Answer]:
    import torch
    from transformers import GenerationConfig

    width, pad = max(map(len, ids)), tokenizer.pad_token_id or tokenizer.eos_token_id
    tokens = torch.tensor([[pad] * (width - len(row)) + row for row in ids], device=model.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids], device=model.device)
    stops = stop_ids(model, tokenizer)
    config = GenerationConfig(**options, eos_token_id=stops, pad_token_id=pad, disable_compile=True)
    output = model.generate(input_ids=tokens, attention_mask=mask, generation_config=config)
    return [_answer(row, stops, tokenizer) for row in output[:, width:].tolist()]


def _answer(ids: list[int], stops: list[int], tokenizer: "PreTrainedTokenizerBase") -> Answer:
    end = next((index for index, token in enumerate(ids) if token in stops), None)
    kept = ids if end is None else ids[: end + 1]
    return Answer(tokenizer.decode(kept, skip_special_tokens=True), len(kept), end is not None)


def stop_ids(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The tokens that end an answer: the tokenizer's and every one that the generation config names."""
    declared = getattr(model.generation_config, "eos_token_id", None)
    named = declared if isinstance(declared, list) else [] if declared is None else [declared]
    return sorted({tokenizer.eos_token_id, *named})
