"""Shared prompts: the log-probabilities, entropies and gradients of separate rows, from fewer tokens."""

import json
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


def _tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As GRPO has them: prompts padded on the left to 5, completions on the right to 3."""
    ids, mask = [], []
    for name, completion in ROWS:
        prompt, rest = PROMPTS[name], LENGTH - len(completion)
        ids.append([0] * (5 - len(prompt)) + prompt + completion + [0] * rest)
        mask.append([0] * (5 - len(prompt)) + [1] * (len(prompt) + len(completion)) + [0] * rest)
    labels = torch.tensor(ids).masked_fill(torch.tensor(mask) == 0, -100)
    labels[:, :-LENGTH] = -100
    return torch.tensor(ids), torch.tensor(mask), labels


def _on_the_right() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As DPO has them: prompt and answer side by side, padded on the right."""
    rows = [(PROMPTS[name], answer, 8 - len(PROMPTS[name]) - len(answer)) for name, answer in ROWS]
    ids = [prompt + answer + [0] * rest for prompt, answer, rest in rows]
    mask = [[1] * (8 - rest) + [0] * rest for *_, rest in rows]
    labels = [[-100] * len(prompt) + answer + [-100] * rest for prompt, answer, rest in rows]
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)


def _figures(model: Any, tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask, labels = tensors
    outputs = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return outputs.log_probs, outputs.entropy


@pytest.fixture
def packed_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each call that shared prompts."""
    from kt_resources.trainers.shared_prompts import Packed

    rows: list[int] = []
    original = Packed.scored
    monkeypatch.setattr(
        Packed, "scored", lambda packed, forward: rows.append(len(packed.rows)) or original(packed, forward)
    )
    return rows


@pytest.fixture
def sharing(model: Any) -> Any:
    """A second model of the same weights that shares prompts."""
    from trl.trainer.utils import add_fused_lm_head

    from kt_resources.trainers.shared_prompts import share_prompts

    other = type(model)(model.config).eval()
    other.load_state_dict(model.state_dict())
    add_fused_lm_head(other, temperature=0.7, outputs=("log_probs", "entropy"))
    share_prompts(other)
    return other


def _gradient(model: Any, figures: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    model.zero_grad()
    (figures[0] * torch.arange(figures[0].numel()).view(figures[0].shape)).sum().backward()
    return model.model.layers[0].self_attn.k_proj.weight.grad.clone()


@pytest.mark.parametrize("tensors", [_tensors(), _on_the_right()], ids=["padded left and right", "padded right"])
def test_figures_and_gradients_are_those_of_separate_rows(
    model: Any, sharing: Any, tensors: tuple[torch.Tensor, ...], packed_rows: list[int]
) -> None:
    separate, shared = _figures(model, tensors), _figures(sharing, tensors)
    for one, other in zip(separate, shared, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert shared[0][3].eq(0).all()  # the completion without a token
    assert torch.allclose(_gradient(model, separate), _gradient(sharing, shared), atol=1e-4)
    assert packed_rows == [2]


def test_a_row_of_several_turns_keeps_what_is_not_scored(model: Any, sharing: Any, packed_rows: list[int]) -> None:
    """Labels with a gap: the second question is read, and not scored."""
    ids = torch.tensor([[5, 6, 7, 20, 21, 30, 31, 22], [5, 6, 7, 23, 24, 32, 33, 25]])
    labels = ids.clone()
    labels[:, :3], labels[:, 5:7] = -100, -100
    tensors = ids, torch.ones_like(ids), labels
    assert torch.allclose(_figures(model, tensors)[0], _figures(sharing, tensors)[0], atol=1e-5)
    assert packed_rows == [1]


def test_a_prompt_is_computed_once() -> None:
    from kt_resources.trainers.shared_prompts import Packed

    packed = Packed.of(*_tensors())
    # a: 4 shared + 3 + 1; b: 2 shared + 2 + 3; padded to the longer
    assert [len(row.ids) for row in packed.rows] == [8, 7]
    assert packed.num_tokens == 16 < int(_tensors()[1].sum()) == 30


def test_a_completion_sees_its_prompt_and_itself_alone() -> None:
    from kt_resources.trainers.shared_prompts import Packed

    mask = Packed.of(*_tensors()).mask()[0, 0]  # prompt 0–3, first completion 4–6, second 7
    assert mask[7].tolist() == [True] * 4 + [False] * 3 + [True]
    assert mask[6].tolist() == [True] * 7 + [False]


def _curve(spec: Any) -> list[dict[str, Any]]:
    from kt_resources.compute.program import Progress
    from kt_resources.trainers.training import train

    spec.out_dir.mkdir(parents=True)
    train(spec, Progress(spec.out_dir))
    return [json.loads(line) for line in (spec.out_dir / "run" / "curve.jsonl").read_text().splitlines()]


def test_grpo_trains_on_shared_prompts(make_spec: Any, packed_rows: list[int]) -> None:
    _curve(make_spec("grpo"))
    assert packed_rows == [2, 2, 2]  # three steps of two groups of four completions


@pytest.mark.parametrize("objective", ["dpo", "ipo", "rloo"])
def test_a_training_on_shared_prompts_has_the_losses_of_one_without(
    objective: str, make_spec: Any, packed_rows: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kt_resources.trainers import shared_prompts

    spec = make_spec(objective)
    shared = _curve(spec.model_copy(update={"out_dir": tmp_path / "shared", "scratch_dir": tmp_path / "s"}))
    assert packed_rows
    counted = len(packed_rows)
    monkeypatch.setattr(shared_prompts, "LONGEST", 0)
    apart = _curve(spec.model_copy(update={"out_dir": tmp_path / "apart", "scratch_dir": tmp_path / "a"}))
    assert len(packed_rows) == counted
    for one, other in zip(shared, apart, strict=True):
        assert one.get("loss") == pytest.approx(other.get("loss"), abs=1e-4)
        assert one.get("eval_loss") == pytest.approx(other.get("eval_loss"), abs=1e-4)
