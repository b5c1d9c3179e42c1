"""Which of llama.cpp's pre-tokenizers splits text as a Hugging Face ``tokenizer.json`` does."""

from typing import Any

from kt_resources.errors import QuantizeError

BYTE_LEVEL = "<GPT-2's pattern>"
DIGITS = "<single digits>"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

NAMES: dict[tuple[str, ...], str] = {
    (BYTE_LEVEL,): "gpt-2",
    (GPT2,): "gpt-2",
    (DIGITS, BYTE_LEVEL): "smollm",
    (LLAMA3,): "llama-bpe",
    (QWEN2,): "qwen2",
    (TEKKEN,): "tekken",
}
"""How a text is split, step by step → llama.cpp's name for it."""


def pre_tokenizer_name(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name of the pre-tokenizer in a parsed ``tokenizer.json``.

    Raises:
        QuantizeError: llama.cpp has none that splits alike, as far as is known here.
    """
    steps = tuple(_steps(tokenizer.get("pre_tokenizer") or {}))
    if steps not in NAMES:
        raise QuantizeError(
            f"splits text by {' then '.join(steps) or 'nothing'}, which none of llama.cpp's known pre-tokenizers does",
            where="tokenizer.json: pre_tokenizer",
            mend=f"known: {', '.join(sorted(set(NAMES.values())))}",
        )
    return NAMES[steps]


def _steps(pre: dict[str, Any]) -> list[str]:
    kind = pre.get("type")
    if kind == "Sequence":
        return [step for part in pre["pretokenizers"] for step in _steps(part)]
    if kind == "ByteLevel":
        return [BYTE_LEVEL] if pre.get("use_regex", True) else []
    if kind == "Digits":
        return [DIGITS] if pre.get("individual_digits") else ["<runs of digits>"]
    if kind == "Split":
        pattern = pre["pattern"]
        return [pattern.get("Regex") or f"the string {pattern.get('String')!r}"]
    return [] if kind is None else [str(kind)]
