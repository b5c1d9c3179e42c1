"""Steps over slots give the logits of transformers' own forward pass, however sequences stand beside one another."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from kt_resources.decoding.context import Feed
from kt_resources.decoding.slots import SlotContext, open_for_slots

SIZES: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


MORE: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
}


@pytest.fixture(scope="module", params=MORE)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **SIZES, **MORE[request.param])
    model = AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():  # so large that attention is far from even
        weight.data.normal_(std=0.3)
    found = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(found)
    return found


def sequences(*lengths: int) -> list[list[int]]:
    draw = random.Random(1)
    return [[draw.randrange(120) for _ in range(length)] for length in lengths]


def expected(folder: Path, ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0].numpy()


def read(context: SlotContext, parts: dict[int, list[int]], seen: dict[int, list[np.ndarray]]) -> None:
    """One step that reads ``parts`` (sequence → its next tokens), and keeps the logits after each token."""
    feeds = [
        Feed(token, context.used[sequence] + place, sequence, True)
        for sequence, tokens in sorted(parts.items())
        for place, token in enumerate(tokens)
    ]
    context.decode(feeds)
    for index, feed in enumerate(feeds):
        seen.setdefault(feed.sequence, []).append(context.logits(index).copy())


def test_whole_prompts_parts_and_single_tokens_beside_one_another(folder: Path) -> None:
    context = SlotContext(open_for_slots(folder, "F32"), 8, 40)
    ids = dict(enumerate(sequences(30, 30, 30, 30, 30, 30, 30)))
    seen: dict[int, list[np.ndarray]] = {}
    read(context, {s: ids[s][:5] for s in range(6)}, seen)
    for place in range(5, 12):  # six at once, one of them read in parts
        tokens = {s: ids[s][place : place + 1] for s in range(5)}
        read(context, tokens | {5: ids[5][5 + 3 * (place - 5) : 8 + 3 * (place - 5)]}, seen)
    read(context, {6: ids[6][:7]}, seen)
    for place in range(7, 12):  # two, far apart
        read(context, {0: ids[0][place + 5 : place + 6], 6: ids[6][place : place + 1]}, seen)
    for sequence, rows in seen.items():
        whole = expected(folder, ids[sequence][: len(rows)])
        np.testing.assert_allclose(np.stack(rows), whole, atol=2e-4 * np.abs(whole).max())


def test_many_tokens_are_padded_and_padding_leaves_no_trace(folder: Path) -> None:
    context = SlotContext(open_for_slots(folder, "F32"), 30, 8)
    ids = dict(enumerate(sequences(*[6] * 30)))
    seen: dict[int, list[np.ndarray]] = {}
    for place in range(6):
        read(context, {s: ids[s][place : place + 1] for s in range(19 if place else 30)}, seen)
    assert context.wanted.shape[0] == 19
    for sequence, rows in seen.items():
        whole = expected(folder, ids[sequence][: len(rows)])
        np.testing.assert_allclose(np.stack(rows), whole, atol=2e-4 * np.abs(whole).max())


def test_a_copy_goes_on_by_itself_and_what_is_forgotten_is_gone(folder: Path) -> None:
    context = SlotContext(open_for_slots(folder, "F32"), 4, 40)
    beginning, one, other = sequences(9, 6, 6)
    seen: dict[int, list[np.ndarray]] = {}
    read(context, {3: beginning}, seen)
    context.copy(3, 0)
    assert context.forget(3, 4) == 4
    context.copy(3, 1)
    seen.clear()
    read(context, {0: one, 1: other}, seen)
    read(context, {0: one[:1], 1: other[:1]}, seen)
    for sequence, ids in {0: [*beginning, *one, one[0]], 1: [*beginning[:4], *other, other[0]]}.items():
        whole = expected(folder, ids)[-7:]
        np.testing.assert_allclose(np.stack(seen[sequence]), whole, atol=2e-4 * np.abs(whole).max())
    context.close()
    context.close()


def test_bfloat16_is_near(folder: Path) -> None:
    context = SlotContext(open_for_slots(folder, "BF16"), 2, 40)
    assert context.keys[0].dtype == torch.bfloat16
    ids, seen = sequences(20)[0], {}
    read(context, {1: ids[:15]}, seen)
    for token in ids[15:]:
        read(context, {1: [token]}, seen)
    whole, rows = expected(folder, ids), np.stack(seen[1])
    assert rows.dtype == np.float32
    assert np.abs(rows - whole).mean() < 0.05 * whole.std()
