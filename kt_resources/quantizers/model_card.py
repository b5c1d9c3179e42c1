"""The model card: what the model is, where it comes from, how near it is to its checkpoint, how to run it."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

FIGURES = {
    "quant": "quant type",
    "file_size_mb": "file size, MB",
    "bits_per_weight": "bits per weight",
    "num_weights": "weights",
    "mean_kl_to_checkpoint": "mean KL(checkpoint ‖ this file), nats",
    "f16_mean_kl": "the same before quantization",
    "top1_agreement": "positions with the same likeliest token",
    "same_answers_rate": "greedy answers equal to the checkpoint's",
    "stops_rate": "greedy answers that end by a stop token",
    "tokenizes_identically": "tokenizes as the checkpoint does",
    "chat_template_identical": "embeds the checkpoint's chat template",
}
"""Measured facts that the card shows, and how it calls them."""


def model_card(name: str, card: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """README.md with YAML front matter; sections without content are left out.

    Args:
        card: ``description``, ``base``, ``base_file``, ``license``, ``data``, ``steps``, ``lineage``; all optional.
        facts: what was measured of the file.
    """
    sections = [
        _front_matter(card, facts),
        f"# {name}\n\n{_what_it_is(card, facts)}",
        _section("Base model", _base(card)),
        _section("Data", _table(card.get("data"))),
        _section("Training", _table(card.get("steps"))),
        _section("Figures", _figures(facts)),
        _section("Lineage", _table(card.get("lineage"))),
        _section("How to run", _HOW_TO_RUN.replace("NAME", name)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(card: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    import yaml

    base = _without_folders(str(card.get("base") or ""))
    told = {
        "license": str(card.get("license") or "unknown").lower(),
        **({"base_model": base} if base else {}),
        "pipeline_tag": "text-generation",
        "tags": ["gguf", *([str(facts["quant"]).lower()] if "quant" in facts else [])],
    }
    return f"---\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}---"


def _what_it_is(card: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    weighed = " with an importance matrix" if facts.get("imatrix") else ""
    form = f"A GGUF file in {facts.get('quant', 'full precision')}{weighed}, for llama.cpp and what builds on it."
    return "\n\n".join(part for part in (str(card.get("description") or "").strip(), form) if part)


def _base(card: Mapping[str, Any]) -> str:
    if not card.get("base"):
        return ""
    file = f", file `{_without_folders(str(card['base_file']))}`" if card.get("base_file") else ""
    return f"{_without_folders(str(card['base']))}{file}. Licence: {card.get('license') or 'unknown'}."


def _without_folders(name: str) -> str:
    """A hub id as it is; of a path on some machine the last part."""
    return PurePath(name).name if PurePath(name).is_absolute() or name.startswith((".", "~")) else name


def _figures(facts: Mapping[str, Any]) -> str:
    rows = [{"figure": told, "value": facts[name]} for name, told in FIGURES.items() if facts.get(name) is not None]
    return _table(rows)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _table(rows: Sequence[Mapping[str, Any]] | None) -> str:
    """A Markdown table; its columns are the keys, in the order in which they first appear."""
    if not rows:
        return ""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).replace("|", "\\|").replace("\n", " ")


_HOW_TO_RUN = """Ollama, in this folder:

```
ollama create NAME -f Modelfile
ollama run NAME
```

llama.cpp:

```
llama-cli -m model.gguf --jinja -cnv
```

llama-cpp-python:

```python
from llama_cpp import Llama

model = Llama("model.gguf", n_ctx=2048)
answer = model.create_chat_completion([{"role": "user", "content": "What is 2 + 2?"}], temperature=0)
print(answer["choices"][0]["message"]["content"])
```"""
