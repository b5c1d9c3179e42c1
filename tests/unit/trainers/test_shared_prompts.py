"""Shared prompts: the log-probabilities, entropies and gradients of separate rows, from fewer tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch

PROMPTS = {"a": [5, 6, 7, 8, 9], "b": [11, 12, 13]}
ROWS = [("a", [20, 21, 22]), ("b", [23, 24]), ("a", [25]), ("a", []), ("b", [26, 27, 28])]
LENGTH = 3


@pytest.fixture
def model(tiny_model_dir: Path) -> Any:
    """The tiny model with TRL's fused head."""
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    return model


def _tensors() -> tuple[torch.Tensor, torch.Tensor]:
    """As TRL has them: prompts padded on the left to 5, completions on the right to 3."""
    ids, mask = [], []
    for name, completion in ROWS:
        prompt, rest = PROMPTS[name], LENGTH - len(completion)
        ids.append([0] * (5 - len(prompt)) + prompt + completion + [0] * rest)
        mask.append([0] * (5 - len(prompt)) + [1] * (len(prompt) + len(completion)) + [0] * rest)
    return torch.tensor(ids), torch.tensor(mask)


def _separate(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = _tensors()
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-LENGTH] = -100
    outputs = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return outputs.log_probs[:, -LENGTH:], outputs.entropy[:, -LENGTH:]


def _shared(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    from kt_resources.trainers.shared_prompts import Packed

    return Packed.of(*_tensors(), LENGTH).scored(model)


def _gradient(model: Any, figures: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    model.zero_grad()
    (figures[0] * torch.arange(15.0).view(5, 3)).sum().backward()
    return model.model.layers[0].self_attn.k_proj.weight.grad.clone()


def test_figures_and_gradients_are_those_of_separate_rows(model: Any) -> None:
    separate, shared = _separate(model), _shared(model)
    for one, other in zip(separate, shared, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert shared[0][3].eq(0).all()  # the completion without a token
    assert torch.allclose(_gradient(model, _separate(model)), _gradient(model, _shared(model)), atol=1e-4)


def test_a_prompt_is_computed_once() -> None:
    from kt_resources.trainers.shared_prompts import Packed

    packed = Packed.of(*_tensors(), LENGTH)
    # a: 4 shared + 3 + 1; b: 2 shared + 2 + 3; padded to the longer
    assert [len(row.ids) for row in packed.rows] == [8, 7]
    assert packed.num_tokens == 16 < int(_tensors()[1].sum()) == 30


def test_a_completion_sees_its_prompt_and_itself_alone() -> None:
    from kt_resources.trainers.shared_prompts import Packed

    mask = Packed.of(*_tensors(), LENGTH).mask()[0, 0]  # prompt 0–3, first completion 4–6, second 7
    assert mask[7].tolist() == [True] * 4 + [False] * 3 + [True]
    assert mask[6].tolist() == [True] * 7 + [False]


def test_grpo_trains_on_shared_prompts(make_spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kt_resources.compute.program import Progress
    from kt_resources.trainers import shared_prompts
    from kt_resources.trainers.training import train

    scored = []
    original = shared_prompts.Packed.scored
    monkeypatch.setattr(
        shared_prompts.Packed,
        "scored",
        lambda packed, model: scored.append(len(packed.rows)) or original(packed, model),
    )
    spec = make_spec("grpo")
    spec.out_dir.mkdir(parents=True)
    train(spec, Progress(spec.out_dir))
    assert scored == [2, 2, 2]  # three steps of two groups of four completions
