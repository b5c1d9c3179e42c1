"""The tokenizer of a checkpoint folder, read without its weights."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@lru_cache(maxsize=4)
def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in ``folder``, chat template included."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    return tokenizer
