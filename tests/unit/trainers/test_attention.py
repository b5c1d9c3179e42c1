"""Short attention: torch's own result and gradients, and only where it applies."""

import torch
from torch.nn.functional import scaled_dot_product_attention


def _inputs(length: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    heads = (4, 2, 2)  # four query heads share two key heads
    return tuple(torch.randn(3, number, length, 8, generator=generator) for number in heads)  # type: ignore[return-value]


def _padded_mask(length: int = 6) -> torch.Tensor:
    """Causal, and the first two tokens of the second row are padding."""
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None].repeat(3, 1, 1, 1)
    mask[1, :, :, :2] = False
    return mask


def _torchs(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    key, value = (tensor.repeat_interleave(2, dim=1) for tensor in (key, value))
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3).transpose(1, 2)


def test_result_and_gradients_are_torchs() -> None:
    from kt_resources.trainers.attention import short_attention

    mask = _padded_mask()
    seen = mask.any(-1)[:, 0, :, None, None]  # a padded position sees nothing: its result counts nowhere
    results = []
    for attention in (lambda *tensors: short_attention(*tensors, mask, 0.3), lambda *tensors: _torchs(*tensors, mask)):
        tensors = [tensor.clone().requires_grad_() for tensor in _inputs()]
        mixed = attention(*tensors).masked_fill(~seen, 0.0)
        mixed.pow(2).sum().backward()
        results.append([mixed, *(tensor.grad for tensor in tensors)])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_without_a_mask_it_is_causal() -> None:
    from kt_resources.trainers.attention import short_attention

    causal = torch.ones(6, 6, dtype=torch.bool).tril()[None, None].expand(3, 1, 6, 6)
    assert torch.allclose(short_attention(*_inputs(), None, 0.3), _torchs(*_inputs(), causal), atol=1e-6)


def test_it_takes_short_sequences_in_bfloat16_alone() -> None:
    from kt_resources.trainers import attention

    def applies(length: int, dtype: torch.dtype, keys: int | None = None) -> bool:
        query, key = (torch.empty(1, 1, size, 8, dtype=dtype) for size in (length, keys or length))
        return attention._applies(query, key)

    assert applies(6, torch.bfloat16) and applies(attention.LONGEST, torch.bfloat16)
    assert not applies(attention.LONGEST + 1, torch.bfloat16)
    assert not applies(6, torch.float32)
    assert not applies(1, torch.bfloat16, keys=6)  # a token generated with a cache


def test_a_model_in_bfloat16_gives_the_logits_of_torchs_attention(tiny_model_dir: object, monkeypatch: object) -> None:
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers import attention

    attention.multiply_short_attention()
    ids = torch.arange(5, 5 + 24).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    logits = {}
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.bfloat16)
    for longest in (512, 0):
        monkeypatch.setattr(attention, "LONGEST", longest)  # type: ignore[attr-defined]
        with torch.no_grad():
            logits[longest] = model(input_ids=ids, attention_mask=mask).logits.float()[mask.bool()]
    assert torch.allclose(logits[512], logits[0], atol=0.05)
    assert not torch.equal(logits[512], logits[0])  # the two paths were taken
