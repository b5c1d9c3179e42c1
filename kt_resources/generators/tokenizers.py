"""Tokenizer and chat template of a checkpoint folder, or of a GGUF file alone."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import GenerationError
from kt_resources.generators.engine import Messages

if TYPE_CHECKING:
    from kt_resources.generators.gguf_model import GgufModel


class FolderTokenizer:
    """The Hugging Face tokenizer of a checkpoint folder.

    Attributes:
        extra_stop_ids: further tokens that end an answer.
    """

    def __init__(self, folder: Path, extra_stop_ids: Sequence[int] = ()) -> None:
        from transformers import AutoTokenizer

        self.folder, self.extra_stop_ids = folder, extra_stop_ids
        self.hf: Any = AutoTokenizer.from_pretrained(folder)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        from kt_resources.quantizers.vocabulary import stop_ids

        own = [self.hf.eos_token_id] if self.hf.eos_token_id is not None else []
        return frozenset([*own, *stop_ids(self.folder), *self.extra_stop_ids])

    def encode(self, text: str) -> list[int]:
        return list(self.hf(text, add_special_tokens=False).input_ids)

    def encode_chat(self, messages: Messages) -> list[int]:
        if not self.hf.chat_template:
            mend = "give the tokenizer a chat_template.jinja, or prompt with token ids"
            raise GenerationError("the model has no chat template", where=str(self.folder), mend=mend)
        turns = [{"role": message["role"], "content": message["content"]} for message in messages]
        return list(self.hf.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"])

    def decode(self, token_ids: Sequence[int]) -> str:
        return self.hf.decode(list(token_ids), skip_special_tokens=True)


class GgufTokenizer:
    """llama.cpp's own tokenizer, with the chat template that the file embeds."""

    def __init__(self, model: "GgufModel") -> None:
        self.model = model

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        return self.model.end_ids()

    def encode(self, text: str) -> list[int]:
        return self.model.tokenize(text)

    def encode_chat(self, messages: Messages) -> list[int]:
        return self.model.tokenize(self.render_chat(messages))

    def render_chat(self, messages: Messages) -> str:
        """The messages as text, up to where the assistant answers."""
        from transformers.utils.chat_template_utils import render_jinja_template

        template = self.model.metadata.get("tokenizer.chat_template")
        if not template:
            mend = "export the model with its chat template, or prompt with token ids"
            raise GenerationError("the GGUF embeds no chat template", where=str(self.model.file), mend=mend)
        special = {f"{name}_token": self.model.special_token(name) for name in ("bos", "eos")}
        turns = [{"role": message["role"], "content": message["content"]} for message in messages]
        rendered: Any = render_jinja_template(
            conversations=[turns], chat_template=template, add_generation_prompt=True, **special
        )
        return rendered[0][0]

    def decode(self, token_ids: Sequence[int]) -> str:
        return self.model.detokenize(token_ids)
