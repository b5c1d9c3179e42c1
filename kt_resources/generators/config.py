"""Recipe-facing options of text generation."""

from typing import Literal

from pydantic import Field

from kt_resources.strict import Strict

Engine = Literal["auto", "llama_cpp", "transformers", "openai"]
"""Which engine generates; ``auto`` picks by the form of the model and the device."""


class Sampling(Strict):
    """How tokens are drawn.

    Attributes:
        temperature: softmax temperature; 0 is greedy.
        top_p: nucleus mass, in (0, 1].
        top_k: keep the k likeliest tokens; 0 keeps all.
        max_new_tokens: longest completion, in tokens.
        seed: seed of the draws.
        grammar: GBNF grammar that every completion obeys, or None.
    """

    temperature: float = Field(default=0.8, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=64, ge=1)
    seed: int = 0
    grammar: str | None = None
