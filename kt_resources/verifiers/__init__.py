"""Verifiers: is a completion right? Rewards, scorers and filters in one; adding one is a module and a line here."""

from typing import Annotated, Any, Union

from pydantic import Field

from kt_resources.verifiers.base import Row, Score, VerifierConfig, extract_answer, reference_answer, with_marker
from kt_resources.verifiers.code import Code
from kt_resources.verifiers.exact import Exact
from kt_resources.verifiers.format import Format
from kt_resources.verifiers.json_schema import JsonSchema
from kt_resources.verifiers.lenient import lenient_verifier
from kt_resources.verifiers.math import Math
from kt_resources.verifiers.none import NoVerifier
from kt_resources.verifiers.numeric import Numeric
from kt_resources.verifiers.python import Python
from kt_resources.verifiers.reasoning_gym import ReasoningGym
from kt_resources.verifiers.weighted import Weighted

VERIFIERS: dict[str, type[VerifierConfig]] = {
    "reasoning_gym": ReasoningGym,
    "exact": Exact,
    "numeric": Numeric,
    "math": Math,
    "json_schema": JsonSchema,
    "format": Format,
    "code": Code,
    "python": Python,
    "weighted": Weighted,
    "none": NoVerifier,
}

Verifier: Any = Annotated[Union[tuple(VERIFIERS.values())], Field(discriminator="type")]  # noqa: UP007 - built at run time


def build_verifier(config: VerifierConfig) -> Score:
    """``verify(completion, row) -> score in [0, 1]`` for the recipe's ``verifier``.

    A completion without the answer marker scores 0. GenerationError where a row lacks the ground truth or a
    person's own function misbehaves.
    """
    return with_marker(config.scorer(), config.answer_marker)


__all__ = [
    "VERIFIERS",
    "Exact",
    "JsonSchema",
    "Math",
    "NoVerifier",
    "Numeric",
    "Python",
    "ReasoningGym",
    "Row",
    "Score",
    "Verifier",
    "VerifierConfig",
    "build_verifier",
    "extract_answer",
    "lenient_verifier",
    "reference_answer",
]
