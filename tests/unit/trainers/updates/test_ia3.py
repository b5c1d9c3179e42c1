"""(IA)³: keys and values scaled at their output, the MLP's last layer at its input."""

from pathlib import Path

import torch

from kt_resources.trainers.updates.ia3 import Ia3


def test_three_vectors_a_block_of_the_papers_sizes(tiny_model_dir: Path) -> None:
    """Keys and values are 32 wide, the MLP 192: 2 · (32 + 32 + 192) numbers. Doubled, they double K, V and γ(W₁x)."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    block = model.model.layers[0]
    x, inner = torch.randn(3, 64), torch.randn(3, 192)
    keys, output = block.self_attn.k_proj(x), block.mlp.down_proj(inner)
    adapted = get_peft_model(model, Ia3().peft_config(model, 1))
    vectors = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in vectors.values()) == 2 * (32 + 32 + 192)
    assert all(torch.equal(p, torch.ones_like(p)) for p in vectors.values())
    for vector in vectors.values():
        vector.data.fill_(2.0)
    assert torch.allclose(block.self_attn.k_proj(x), 2 * keys)
    assert torch.allclose(block.mlp.down_proj(inner), 2 * output, atol=1e-6)
