"""Recipe-facing options of export and quantization."""

import re
from typing import Literal

from pydantic import Field, field_validator

from kt_resources.strict import Strict

Quant = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0",
    "IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K",
]  # fmt: skip
"""llama.cpp's quant types, by their usual names; F32, F16 and BF16 keep the weights as they are."""

TensorType = Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0"]
"""The type of one tensor, by ggml's names."""


class GgufTarget(Strict):
    """One GGUF file to ship.

    Attributes:
        quant: quant type, by llama.cpp's name, in any case.
        imatrix: weigh rounding errors by an importance matrix: the mean square of every input column of every
            linear layer over the calibration rows.
        token_embedding_type: type of the token embeddings; None leaves it to the quant type.
        output_tensor_type: type of the output head; None leaves it to the quant type. Where embeddings are
            tied there is no output head and the embeddings serve as one.
        tensor_types: types of further tensors by a pattern of their names (``ffn_down``, ``blk\\.0\\.``, a regular
            expression that is searched for; the first that is found counts): mixed precision.
        num_calibration_rows: rows of the mixes that the model learned from, as many of each, that the importance
            matrix is computed over.
    """

    type: Literal["gguf"] = "gguf"
    quant: Quant = "Q4_K_M"
    imatrix: bool = False
    token_embedding_type: TensorType | None = None
    output_tensor_type: TensorType | None = None
    tensor_types: dict[str, TensorType] = {}
    num_calibration_rows: int = Field(128, ge=1)

    @field_validator("tensor_types")
    @classmethod
    def _patterns(cls, value: dict[str, str]) -> dict[str, str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value

    @field_validator("quant", "token_embedding_type", "output_tensor_type", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value
