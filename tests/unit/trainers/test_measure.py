"""Every fact against a folder in which it is broken."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kt_resources.trainers.measure import NO_COMPARISON, Probes, measure

PROBES = Probes(prompts=[[{"role": "user", "content": "What is 1 + 2?"}]], max_new_tokens=3)


@pytest.fixture(scope="module")
def artifact(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model artifact whose adapter moves one layer, merged as the program merges it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from kt_resources.trainers.saving import merged_weights, save_adapter, save_model
    from kt_resources.trainers.updates import Lora

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("artifact")
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    model = get_peft_model(model, LoraConfig(r=2, target_modules=["up_proj"], init_lora_weights=False))
    model.save_pretrained(folder / "kept")
    save_adapter(*Lora().saved_adapter(folder / "kept"), folder / "adapter")
    save_model(merged_weights(tiny_model_dir, folder / "adapter"), tiny_model_dir, folder / "model")
    return folder


@pytest.fixture
def broken(artifact: Path, tmp_path: Path, tiny_model_dir: Path) -> Callable[[Callable[[Path], None]], dict[str, Any]]:
    """Facts of a copy of the artifact after ``damage(copy)``."""

    def facts(damage: Callable[[Path], None]) -> dict[str, Any]:
        shutil.copytree(artifact, tmp_path / "copy")
        damage(tmp_path / "copy")
        return measure(tiny_model_dir, tmp_path / "copy", PROBES)

    return facts


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def _edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = folder / "model" / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def test_a_healthy_artifact(artifact: Path, tiny_model_dir: Path) -> None:
    facts = measure(tiny_model_dir, artifact, PROBES)
    healthy = {name: value for name, value in facts.items() if isinstance(value, bool)}
    assert healthy == {name: name != "has_nan" for name in healthy}
    assert facts["num_changed_tensors"] == 2 and facts["num_tensors"] == 20  # up_proj of two layers
    assert 0 < facts["delta_norm_relative"] < 10
    assert facts["adapter_merged_max_logit_diff"] < 1e-5
    assert abs(facts["adapter_merged_mean_kl"]) < 1e-6 < facts["kl_to_start"]
    assert facts["stops_rate"] == 0.0


def test_the_facts_are_the_same_every_time(artifact: Path, tiny_model_dir: Path) -> None:
    assert measure(tiny_model_dir, artifact, PROBES) == measure(tiny_model_dir, artifact, PROBES)


@pytest.mark.parametrize(
    ("file", "changes", "fact"),
    [
        ("tokenizer.json", {}, "tokenizer_identical"),  # written anew: other bytes
        ("generation_config.json", {"eos_token_id": 0}, "eos_token_id_identical"),
        ("tokenizer_config.json", {"eos_token": "<|endoftext|>"}, "eos_token_id_identical"),
        ("config.json", {"tie_word_embeddings": False}, "tied_embeddings_survive"),
    ],
)
def test_a_changed_file_shows(broken: Any, file: str, changes: dict[str, Any], fact: str) -> None:
    assert broken(lambda copy: _edit(copy / "model" / file, **changes))[fact] is False


def test_a_changed_template_shows(broken: Any) -> None:
    def damage(copy: Path) -> None:
        template = copy / "model" / "chat_template.jinja"
        template.write_text(template.read_text().replace("<|im_end|>\\n", "\\n"))
        template.write_text(template.read_text() + " ")

    assert broken(damage)["chat_template_identical"] is False


def test_a_grown_vocabulary_shows(broken: Any) -> None:
    def damage(copy: Path) -> None:
        _edit(copy / "model" / "config.json", vocab_size=940)

        def grow(weights: dict[str, torch.Tensor]) -> None:
            embedding = weights["model.embed_tokens.weight"]
            weights["model.embed_tokens.weight"] = torch.cat([embedding, embedding[:7]])

        _edit_weights(copy, grow)

    facts = broken(damage)
    assert facts["vocab_size_identical"] is False
    assert facts["delta_norm_relative"] == facts["kl_to_start"] == NO_COMPARISON


def test_an_adapter_that_was_not_merged_shows(broken: Any, tiny_model_dir: Path) -> None:
    facts = broken(lambda copy: shutil.copy(tiny_model_dir / "model.safetensors", copy / "model"))
    assert facts["num_changed_tensors"] == 0
    assert facts["delta_norm_relative"] == 0
    assert facts["kl_to_start"] == 0
    assert facts["adapter_merged_max_logit_diff"] > 1e-3
    assert facts["adapter_merged_mean_kl"] > 1e-9


def test_numbers_that_are_none_show(broken: Any) -> None:
    def damage(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][0] = float("nan")

    facts = broken(lambda copy: _edit_weights(copy, damage))
    assert facts["has_nan"] is True and facts["finite"] is False


def test_an_infinite_weight_is_not_finite(broken: Any) -> None:
    def damage(weights: dict[str, torch.Tensor]) -> None:
        weights["model.norm.weight"][0] = float("inf")

    facts = broken(lambda copy: _edit_weights(copy, damage))
    assert facts["finite"] is False and facts["has_nan"] is False


def test_a_head_stored_beside_tied_embeddings_must_equal_them(broken: Any) -> None:
    def damage(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"] + 1

    assert broken(lambda copy: _edit_weights(copy, damage))["tied_embeddings_survive"] is False


@pytest.mark.parametrize(
    ("family", "head", "embedding"),
    [("gpt_neox", "embed_out.weight", "gpt_neox.embed_in.weight"), ("gemma", None, "model.embed_tokens.weight")],
)
def test_ties_and_vocabulary_are_found_whatever_the_family_calls_them(
    make_family: Any, tmp_path: Path, family: str, head: str | None, embedding: str
) -> None:
    """GPT-NeoX's head is a matrix of its own; Gemma's is the embedding, though its config leaves that out."""
    start = make_family(family)
    config = json.loads((start / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    (start / "config.json").write_text(json.dumps(config))
    shutil.copytree(start, tmp_path / "artifact" / "model")
    facts = measure(start, tmp_path / "artifact", Probes())
    assert facts["tied_embeddings_survive"] and facts["vocab_size_identical"]
    _edit_weights(tmp_path / "artifact", lambda weights: weights.pop(head or embedding))
    lost = measure(start, tmp_path / "artifact", Probes())
    assert (lost["tied_embeddings_survive"], lost["vocab_size_identical"]) == (head is None, head is not None)
    assert not lost["finite"]


def test_a_model_that_stops_shows(broken: Any) -> None:
    """A final norm of zero makes all logits equal; the greedy choice is token 0, declared a stop token here."""

    def damage(copy: Path) -> None:
        _edit_weights(copy, lambda weights: weights["model.norm.weight"].zero_())
        _edit(copy / "model" / "generation_config.json", eos_token_id=0)

    assert broken(damage)["stops_rate"] == 1.0


def test_without_probes_behaviour_is_left_unsaid(artifact: Path, tiny_model_dir: Path) -> None:
    facts = measure(tiny_model_dir, artifact, Probes())
    assert facts["num_probes"] == 0 and "stops_rate" not in facts


def test_what_was_saved_is_held_against_what_was_trained(artifact: Path, tiny_model_dir: Path) -> None:
    """The saved model's own logits differ by nothing; logits moved by 0.5 differ by 0.5."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kt_resources.trainers.measure import probe_logits

    model = AutoModelForCausalLM.from_pretrained(artifact / "model", dtype=torch.float32).eval()
    trained = probe_logits(model, AutoTokenizer.from_pretrained(artifact / "model"), PROBES.prompts)
    same = measure(tiny_model_dir, artifact, dataclasses.replace(PROBES, trained=trained))
    assert same["trained_saved_max_logit_diff"] < 1e-5
    other = measure(tiny_model_dir, artifact, dataclasses.replace(PROBES, trained=[row + 0.5 for row in trained]))
    assert other["trained_saved_max_logit_diff"] == pytest.approx(0.5, abs=1e-5)
