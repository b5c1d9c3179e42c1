"""Tokenizers are read as ``AutoTokenizer`` reads them, without torch where the file says all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from kt_resources.bases.load import copy_checkpoint
from kt_resources.tokenizing import about_tokens, load_tokenizer

PROMPT = [{"role": "user", "content": "How many legs have 12 cows?  \n 3 hens"}]


def test_a_tokenizer_is_autos_own(tiny_model_dir: Path) -> None:
    ours, autos = load_tokenizer(tiny_model_dir), AutoTokenizer.from_pretrained(tiny_model_dir)
    assert type(ours) is type(autos)
    asked = [one.apply_chat_template(PROMPT, add_generation_prompt=True)["input_ids"] for one in (ours, autos)]
    assert asked[0] == asked[1]
    assert (ours.eos_token_id, ours.pad_token_id, ours.bos_token_id) == (
        autos.eos_token_id,
        autos.pad_token_id,
        autos.bos_token_id,
    )


def test_it_is_read_without_torch(tiny_model_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kt_resources.tokenizing import load_tokenizer; "
        "load_tokenizer(Path(sys.argv[1])); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tiny_model_dir)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_another_class_is_left_to_auto(tiny_model_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    copy_checkpoint(tiny_model_dir, folder)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tokenizer_class": "Qwen2Tokenizer"}))
    assert type(load_tokenizer(folder)) is type(AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("What is 12 + 30?", 8),
        ("It depends on characterization.", 6),  # sixteen letters are two tokens
        ('{"a_b": 1}\n\n', 10),  # line breaks together are one
        ("Straßen", 4),
        ("", 0),
    ],
)
def test_tokens_are_counted_without_a_tokenizer(text: str, pieces: int) -> None:
    assert about_tokens(text) == pieces
