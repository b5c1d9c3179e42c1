"""Prompt tuning: outputs stand at the tokens, whatever reads them; an adapter is all that is left."""

from pathlib import Path
from typing import Any

import torch

from kt_resources.trainers.updates.prompt_tuning import PromptTuning


def test_outputs_are_those_of_the_tokens_after_the_prompt(tiny_model_dir: Path) -> None:
    """Logits of [P; E(x)] without the first 4 positions: 3 tokens in, 3 positions out."""
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    model, strategy = AutoModelForCausalLM.from_pretrained(tiny_model_dir), PromptTuning(num_virtual_tokens=4)
    ids = torch.tensor([[5, 6, 7]])
    adapted = get_peft_model(model, strategy.peft_config(model, 1))
    prompt = adapted.get_prompt(1)
    expected = model(inputs_embeds=torch.cat([prompt, model.get_input_embeddings()(ids)], dim=1)).logits[:, 4:]
    strategy.attach(adapted)
    assert torch.allclose(adapted(input_ids=ids).logits, expected, atol=1e-6)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 4 * 64


def test_a_preference_is_learned_and_the_adapter_alone_is_left(make_spec: Any, run: Any) -> None:
    """DPO reads log-probabilities by position: at the start they are the reference's up to the prompt's own effect."""
    spec = make_spec("dpo", "prompt_tuning")
    facts = run(spec)["facts"]
    assert facts["final_eval_loss"] < facts["start_eval_loss"]
    assert sorted(path.name for path in (spec.out_dir / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not (spec.out_dir / "model").exists()
    assert facts["adapter_only"] and facts["delta_norm_relative"] is None
    assert facts["kl_to_start"] > 1e-6 and facts["trained_saved_max_logit_diff"] < 1e-5
