"""Every named family of models trains, and what was trained is what is saved and merged."""

from pathlib import Path
from typing import Any

import pytest

MIXTURES = ("mixtral", "qwen3_moe")
GEMMAS = ("gemma", "gemma2", "gemma3_text")
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", *GEMMAS, "phi", "phi3", "gpt_neox", *MIXTURES)


def facts_of(run: Any, make_spec: Any, start: Path, update: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The spec and facts after two steps, which say that it learned and is saved as it was trained."""
    optimization = {"max_steps": 2, "num_evals": 1}
    spec = make_spec(update["type"], "sft", update, optimization, model_dir=start)
    facts = run(spec)["facts"]
    assert facts["final_eval_loss"] < facts["start_eval_loss"]
    assert facts["trained_saved_max_logit_diff"] < 1e-4
    assert facts["finite"] and facts["tied_embeddings_survive"]
    return spec, facts


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_is_trained_saved_and_merged(make_spec: Any, run: Any, make_family: Any, family: str) -> None:
    """Logits in memory, of the saved model and of start + adapter agree, and every stored tensor is saved."""
    _, facts = facts_of(run, make_spec, make_family(family), {"type": "lora"})
    assert facts["adapter_merged_max_logit_diff"] < 1e-4
    assert 0 < facts["num_changed_tensors"] < facts["num_tensors"]


@pytest.mark.parametrize("family", FAMILIES)
def test_all_weights_are_trained_and_saved(make_spec: Any, run: Any, make_family: Any, family: str) -> None:
    _, facts = facts_of(run, make_spec, make_family(family), {"type": "full"})
    assert facts["num_changed_tensors"] == facts["num_tensors"]


@pytest.mark.parametrize("update", ["lora", "full"])
def test_a_tied_model_that_stores_its_head_too(
    make_spec: Any, run: Any, make_family: Any, weights: Any, update: str
) -> None:
    """Both are saved, and both are what was trained."""
    from safetensors.torch import load_file, save_file

    start = make_family("llama", tie_word_embeddings=True)
    stored = load_file(start / "model.safetensors")
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"].clone()
    save_file(stored, start / "model.safetensors", metadata={"format": "pt"})
    spec, facts = facts_of(run, make_spec, start, {"type": update})
    saved = weights(spec)
    assert saved["lm_head.weight"].equal(saved["model.embed_tokens.weight"])
    assert facts["num_changed_tensors"] == (14 if update == "lora" else 21)
