"""The tokenizer of a checkpoint folder, read without its weights."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILE_ALONE = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""The classes that are their ``tokenizer.json`` and nothing else."""


@lru_cache(maxsize=4)
def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in ``folder``, chat template included, as ``AutoTokenizer`` gives it.

    Where the class allows it, without ``AutoTokenizer``: that imports torch, which takes two seconds.
    """
    import transformers

    config = folder / "tokenizer_config.json"
    named = json.loads(config.read_text(encoding="utf-8")).get("tokenizer_class") if config.is_file() else None
    alone = named in FILE_ALONE and (folder / "tokenizer.json").is_file()
    reader: Any = transformers.PreTrainedTokenizerFast if alone else transformers.AutoTokenizer
    return reader.from_pretrained(folder)
