"""llama.cpp reads text as the Hugging Face tokenizer does, byte-level BPE and SentencePiece."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import QuantizeError
from kt_resources.generators.gguf_model import GgufModel
from kt_resources.generators.tokenizers import FolderTokenizer
from kt_resources.quantizers.export import export_gguf
from kt_resources.quantizers.pretokenizers import GPT2, LLAMA3, QWEN2, TEKKEN, pre_tokenizer_name
from kt_resources.quantizers.vocabulary import CONTROL, UNUSED, read_vocabulary
from kt_resources.trainers.tiny import VOCABULARY_TEXT

TEXTS = [
    "The sum of 12 and 30 is 42.",
    "  two blanks,\ttab\n\nlines 1234  5 ",
    "naïve café 日本語 🙂",
    "I'll say: they've DON'T",
    "<|im_start|>user\nHow many days?<|im_end|>\n",
]

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split(pattern: str) -> dict[str, Any]:
    rule = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [rule, BYTE_LEVEL]}


DIGITS = {"type": "Digits", "individual_digits": True}
PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "smollm": {"type": "Sequence", "pretokenizers": [DIGITS, {**BYTE_LEVEL, "use_regex": True}]},
    "gpt-2": {**BYTE_LEVEL, "use_regex": True},
    "llama-bpe": split(LLAMA3),
    "qwen2": split(QWEN2),
    "tekken": split(TEKKEN),
}


def tokenizers_agree(folder: Path, file: Path) -> None:
    export_gguf(folder, file)
    with GgufModel(file, vocab_only=True) as model:
        hf = FolderTokenizer(folder)
        for text in TEXTS:
            assert model.tokenize(text) == hf.encode(text), text


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_byte_level(name: str, tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = PRE_TOKENIZERS[name]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert pre_tokenizer_name(tokenizer) == name
    tokenizers_agree(folder, tmp_path / "model.gguf")


@pytest.mark.parametrize("adds_space", [True, False])
def test_sentencepiece(adds_space: bool, tiny_model_dir: Path, tmp_path: Path) -> None:
    """As Llama 2 (a blank is put first) and as Gemma (none is)."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    train_sentencepiece(adds_space).save(str(folder / "tokenizer.json"))
    vocabulary = read_vocabulary(folder, 1000)
    assert (vocabulary.model, vocabulary.add_space_prefix) == ("llama", adds_space)
    assert set(vocabulary.types) >= {CONTROL, UNUSED}
    tokenizers_agree(folder, tmp_path / "model.gguf")


def train_sentencepiece(adds_space: bool) -> Any:
    """A SentencePiece-like tokenizer with byte fallback, as Hugging Face converts them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

    special = ["<unk>", "<|im_start|>", "<|im_end|>"]
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=[*special, *pieces], show_progress=False)
    tokenizer.train_from_iterator([word for word in VOCABULARY_TEXT.replace(" ", " ▁").split()], trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    blanks = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blanks]) if adds_space else blanks
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def test_unknown_pre_tokenizers_are_told() -> None:
    with pytest.raises(QuantizeError, match="<runs of digits> then <GPT-2's pattern>"):
        digits = {"type": "Digits", "individual_digits": False}
        pre_tokenizer_name({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, {"type": "ByteLevel"}]}})
    assert pre_tokenizer_name({"pre_tokenizer": split(GPT2)}) == "gpt-2"


def test_no_tokenizer_json(tiny_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match=r"has no tokenizer\.json"):
        read_vocabulary(tmp_path, 1000)


def test_special_tokens_and_template_travel(tiny_model_dir: Path, tmp_path: Path) -> None:
    export_gguf(tiny_model_dir, tmp_path / "model.gguf")
    hf = FolderTokenizer(tiny_model_dir).hf
    with GgufModel(tmp_path / "model.gguf", vocab_only=True) as model:
        assert [model.special_id(name) for name in ("bos", "eos", "pad")] == [
            hf.bos_token_id,
            hf.eos_token_id,
            hf.pad_token_id,
        ]
        assert model.metadata["tokenizer.chat_template"] == hf.chat_template
        assert model.metadata["tokenizer.ggml.add_bos_token"] == "false"
