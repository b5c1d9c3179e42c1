"""What every engine of text generation can do, in plain types."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from kt_resources.errors import GenerationError
from kt_resources.generators.config import Sampling

if TYPE_CHECKING:
    import numpy as np

Messages: TypeAlias = Sequence[Mapping[str, Any]]
Prompt: TypeAlias = Sequence[int] | Messages
"""Token ids, or chat messages (mappings with ``role`` and ``content``)."""

OnProgress: TypeAlias = Callable[[int, int, int], None]
"""Called with (completions done, completions wanted, tokens generated so far)."""


@dataclass(frozen=True)
class Completion:
    """One answer.

    Attributes:
        text: without special tokens.
        token_ids: without the token that ended it; empty where an engine does not tell them.
        finished: whether it ended by an end token, rather than by ``max_new_tokens``.
        num_tokens: tokens generated, the end token included.
    """

    text: str
    token_ids: tuple[int, ...]
    finished: bool
    num_tokens: int


@runtime_checkable
class TextEngine(Protocol):
    """Generates completions."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        n: int,
        sampling: Sampling,
        first_index: int = 0,
        on_progress: OnProgress | None = None,
    ) -> list[list[Completion]]:
        """``n`` completions for each prompt, in the order of the prompts.

        A draw is seeded by (``sampling.seed``, ``first_index`` + place of the prompt, sample): neither the order
        of work nor the prompts beside it change it, up to rounding.

        Raises:
            GenerationError: a prompt leaves no room for an answer, the grammar is wrong, a server does not answer.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...


@runtime_checkable
class ScoringEngine(TextEngine, Protocol):
    """An engine that holds the model, and so can score tokens."""

    @property
    def tokenizer(self) -> "ChatTokenizer": ...

    def logits(self, token_ids: Sequence[int]) -> "np.ndarray":
        """Logits after each token; float32 (tokens, vocabulary)."""
        ...

    def logits_each(self, asked: Sequence[tuple[Sequence[int], int]]) -> Iterator["np.ndarray"]:
        """Of each of some token ids the logits after those from a place on; float32 (tokens, vocabulary)."""
        ...

    def token_logprobs(self, token_ids: Sequence[int]) -> "np.ndarray":
        """log p, in nats, of each token after those before it; float32 (tokens - 1,)."""
        ...


@runtime_checkable
class ChatTokenizer(Protocol):
    """The tokenizer and chat template that travel with a model."""

    @property
    def stop_ids(self) -> frozenset[int]:
        """Token ids that end an answer."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``; special tokens in it are parsed, none is added."""
        ...

    def encode_chat(self, messages: Messages) -> list[int]:
        """Ids of the rendered messages, up to where the assistant answers."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text without special tokens."""
        ...


def prompt_ids(tokenizer: ChatTokenizer, prompt: Prompt) -> list[int]:
    """The prompt as token ids."""
    first = prompt[0] if len(prompt) else 0
    if isinstance(first, Mapping):
        return tokenizer.encode_chat([message for message in prompt if isinstance(message, Mapping)])
    return [int(token) for token in prompt if not isinstance(token, Mapping)]


def check_room(ids: Sequence[int], sampling: Sampling, length: int, model: str) -> None:
    """Refuse a prompt without tokens, or one that leaves no room for its answer in ``length`` tokens (0: any).

    Raises:
        GenerationError: names ``model``.
    """
    if not ids:
        raise GenerationError("a prompt has no tokens", where=model)
    if length and len(ids) + sampling.max_new_tokens > length:
        raise GenerationError(
            f"a prompt of {len(ids)} tokens and an answer of {sampling.max_new_tokens} exceed {length} tokens",
            where=model,
            mend="shorten the prompts or lower sampling.max_new_tokens",
        )
