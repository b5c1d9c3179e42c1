"""What travels with a GGUF file: Modelfile, chat template, model card. Nothing of the machine or the hour is in it."""

from collections.abc import Mapping
from typing import Any

from kt_resources.quantizers.model_card import model_card
from kt_resources.quantizers.ollama import Messages, modelfile, ollama_template
from kt_resources.quantizers.spec import QuantizeSpec
from kt_resources.quantizers.vocabulary import stop_ids


def write_package(spec: QuantizeSpec, facts: Mapping[str, Any]) -> None:
    """Write ``Modelfile``, ``chat_template.jinja`` (empty where the model has none) and ``README.md``."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(spec.model_dir)
    stops = tokenizer.convert_ids_to_tokens(sorted({tokenizer.eos_token_id, *stop_ids(spec.model_dir)}))
    files = {
        "Modelfile": modelfile(template_of(tokenizer), stops, spec.card.get("system")),
        "chat_template.jinja": tokenizer.chat_template or "",
        "README.md": model_card(spec.name, spec.card, facts),
    }
    for name, text in files.items():
        (spec.out_dir / name).write_text(text, encoding="utf-8")


def template_of(tokenizer: Any) -> str | None:
    """Ollama's form of the tokenizer's chat template, or None."""
    if not tokenizer.chat_template:
        return None

    def render(messages: Messages) -> str:
        return tokenizer.apply_chat_template(
            [dict(turn) for turn in messages], add_generation_prompt=True, tokenize=False
        )

    begins = tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    return ollama_template(render, tokenizer.bos_token if begins else "")
