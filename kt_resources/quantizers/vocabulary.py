"""A checkpoint's tokenizer as GGUF metadata: byte-level BPE (``gpt2``) or SentencePiece BPE (``llama``)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import QuantizeError
from kt_resources.quantizers.pretokenizers import pre_tokenizer_name

if TYPE_CHECKING:
    import gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""llama.cpp's token types."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as llama.cpp reads it.

    Attributes:
        model: ``gpt2`` or ``llama``.
        pre: name of llama.cpp's pre-tokenizer.
        scores: of a SentencePiece model; the higher, the earlier two pieces merge.
        merges: of a byte-level BPE model, best first.
        add_space_prefix: whether a text is tokenized as if it began with a blank.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None
    add_space_prefix: bool = False


def write_vocabulary(writer: "gguf.GGUFWriter", folder: Path, vocab_size: int) -> None:
    """Write tokens, merges or scores, special ids, ``add_bos`` and the chat template of the tokenizer in ``folder``.

    Args:
        vocab_size: rows of the embedding matrix; ids beyond the tokenizer's become unused tokens.
    """
    vocabulary = read_vocabulary(folder, vocab_size)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    writer.add_add_space_prefix(vocabulary.add_space_prefix)
    _write_special(writer, folder)


def read_vocabulary(folder: Path, vocab_size: int) -> Vocabulary:
    """Read ``tokenizer.json``.

    Raises:
        QuantizeError: there is none, or it is of a kind that llama.cpp does not have.
    """
    file = folder / "tokenizer.json"
    if not file.exists():
        mend = "load it with AutoTokenizer and save it again: fast tokenizers write tokenizer.json"
        raise QuantizeError("has no tokenizer.json", where=str(folder), mend=mend)
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    if model.get("type", "BPE") != "BPE":
        raise QuantizeError(f"a {model['type']} tokenizer is not exported", where=str(file), mend="BPE tokenizers are")
    if len(model["vocab"]) > vocab_size:
        problem = f"the tokenizer has {len(model['vocab'])} tokens, the embeddings {vocab_size}"
        raise QuantizeError(
            problem, where=str(file), mend="resize the embeddings, or use the checkpoint's own tokenizer"
        )
    return _sentencepiece(tokenizer, vocab_size) if model.get("byte_fallback") else _byte_level(tokenizer, vocab_size)


def _byte_level(tokenizer: dict[str, Any], vocab_size: int) -> Vocabulary:
    tokens, types = _tokens(tokenizer, vocab_size)
    merges = [" ".join(_pair(merge)) for merge in tokenizer["model"]["merges"]]
    return Vocabulary("gpt2", pre_tokenizer_name(tokenizer), tokens, types, merges=merges)


def _sentencepiece(tokenizer: dict[str, Any], vocab_size: int) -> Vocabulary:
    """A piece scores minus the rank of its first merge, which gives SentencePiece's order of merging."""
    tokens, types = _tokens(tokenizer, vocab_size)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(tokenizer["model"]["merges"]):
        ranks.setdefault("".join(_pair(merge)), rank)
    worst = float(len(ranks))
    scores = [-float(ranks.get(token, worst)) for token in tokens]
    return Vocabulary("llama", "default", tokens, types, scores=scores, add_space_prefix=_adds_space(tokenizer))


def _tokens(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    """Text and type of every id, up to ``vocab_size``."""
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [UNUSED] * vocab_size
    fallback, unknown = tokenizer["model"].get("byte_fallback"), tokenizer["model"].get("unk_token")
    for text, index in tokenizer["model"]["vocab"].items():
        is_byte = bool(fallback) and len(text) == 6 and text.startswith("<0x")
        tokens[index], types[index] = text, BYTE if is_byte else UNKNOWN if fallback and text == unknown else NORMAL
    for added in tokenizer.get("added_tokens", []):
        if added["id"] >= vocab_size:
            raise QuantizeError(f"added token {added['content']!r} has no embedding", where="tokenizer.json")
        tokens[added["id"]] = added["content"]
        if types[added["id"]] != UNKNOWN:
            types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    return tokens, types


def _pair(merge: Any) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else list(merge)


def _adds_space(tokenizer: dict[str, Any]) -> bool:
    normalizer, pre = tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer") or {}
    prepends = any(step["type"] == "Prepend" for step in normalizer.get("normalizers", [normalizer]) if step)
    metaspace = [step for step in pre.get("pretokenizers", [pre]) if step.get("type") == "Metaspace"]
    return prepends or any(step.get("prepend_scheme", "always") != "never" for step in metaspace)


def _write_special(writer: "gguf.GGUFWriter", folder: Path) -> None:
    """Ids of the special tokens, whether a bos is put before a text, and the chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name in ("bos", "eos", "unk", "pad"):
        index = getattr(tokenizer, f"{name}_token_id")
        if index is not None:
            getattr(writer, f"add_{name}_token_id")(index)
    if tokenizer.eos_token_id is None:
        mend = "set eos_token in tokenizer_config.json"
        raise QuantizeError("the tokenizer has no end-of-sequence token", where=str(folder), mend=mend)
    further = [index for index in stop_ids(folder) if index != tokenizer.eos_token_id]
    if further:
        writer.add_eot_token_id(further[0])
    ids = tokenizer("a").input_ids
    writer.add_add_bos_token(bool(ids) and tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(bool(ids) and ids[-1] == tokenizer.eos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def stop_ids(folder: Path) -> list[int]:
    """Ids that end generation by ``generation_config.json``, else by ``config.json``; empty where neither says."""
    for name in ("generation_config.json", "config.json"):
        file = folder / name
        value = json.loads(file.read_text()).get("eos_token_id") if file.exists() else None
        if value is not None:
            return [value] if isinstance(value, int) else list(value)
    return []
