"""Every named family of models trains, and what was trained is what is saved and merged."""

from typing import Any

import pytest

MIXTURES = ("mixtral", "qwen3_moe")
GEMMAS = ("gemma", "gemma2", "gemma3_text")
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", *GEMMAS, "phi", "phi3", "gpt_neox", *MIXTURES)


def facts_of(run: Any, make_spec: Any, start: Any, update: dict[str, Any]) -> dict[str, Any]:
    """Facts after two steps."""
    optimization = {"max_steps": 2, "num_evals": 1}
    spec = make_spec(update["type"], "sft", update, optimization, model_dir=start)
    return run(spec)["facts"]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_is_trained_saved_and_merged(make_spec: Any, run: Any, make_family: Any, family: str) -> None:
    """Logits in memory, of the saved model and of start + adapter agree, and every stored tensor is saved."""
    facts = facts_of(run, make_spec, make_family(family), {"type": "lora"})
    assert facts["final_eval_loss"] < facts["start_eval_loss"]
    assert facts["trained_saved_max_logit_diff"] < 1e-4
    assert facts["adapter_merged_max_logit_diff"] < 1e-4
    assert facts["finite"] and facts["num_changed_tensors"] > 0
