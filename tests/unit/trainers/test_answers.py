"""Greedy answers: in the prompts' order, whatever the batches; stopped or not is told."""

from pathlib import Path
from typing import Any

import pytest

from kt_resources.trainers.answers import greedy_answers, stop_ids


@pytest.fixture
def model_and_tokenizer(tiny_model_dir: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_model_dir), AutoTokenizer.from_pretrained(tiny_model_dir)


PROMPTS = [[{"role": "user", "content": text}] for text in ("What is 1 + 2? Explain it at length.", "Hi", "Why?")]


def test_batches_change_nothing(model_and_tokenizer: tuple[Any, Any]) -> None:
    alone = [greedy_answers(*model_and_tokenizer, [prompt], 5)[0] for prompt in PROMPTS]
    assert greedy_answers(*model_and_tokenizer, PROMPTS, 5) == alone
    assert [answer.num_tokens for answer in alone] == [5, 5, 5]
    assert not any(answer.stopped for answer in alone)


def test_an_answer_ends_at_its_stop_token(model_and_tokenizer: tuple[Any, Any]) -> None:
    """A model whose head prefers the stop token everywhere answers with it alone."""
    import torch

    model, tokenizer = model_and_tokenizer
    head = torch.nn.Linear(64, 933, bias=True)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    head.bias.data[tokenizer.eos_token_id] = 1.0
    model.lm_head = head
    (answer,) = greedy_answers(model, tokenizer, PROMPTS[:1], 5)
    assert (answer.text, answer.num_tokens, answer.stopped) == ("", 1, True)


def test_sampling_state_and_mode_are_left_as_they_were(model_and_tokenizer: tuple[Any, Any]) -> None:
    import torch

    model, tokenizer = model_and_tokenizer
    model.train()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    greedy_answers(model, tokenizer, PROMPTS, 2)
    assert torch.equal(torch.rand(3), expected)
    assert model.training


def test_every_declared_stop_token_counts(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    model.generation_config.eos_token_id = [7, 2]
    assert stop_ids(model, tokenizer) == [2, 7]
