"""The answer is JSON that a schema accepts."""

import json
from typing import Any, Literal, NoReturn

from pydantic import Field, model_validator

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Row, Score, VerifierConfig, column, place_of
from kt_resources.verifiers.time_limit import call_with_time_limit


class JsonSchema(VerifierConfig):
    """Score 1 where the answer is one JSON value that the schema accepts; a Markdown code fence is taken off.

    NaN and Infinity are no JSON.

    Attributes:
        json_schema: the schema for every row; None reads each row's from its ``verification`` column.
        timeout_s: an answer over which the schema takes longer scores 0.
    """

    type: Literal["json_schema"]
    answer_marker: str | None = Field(default=None, min_length=1)
    json_schema: dict[str, Any] | None = None
    timeout_s: float = Field(default=2.0, gt=0)

    @model_validator(mode="after")
    def _is_a_schema(self) -> "JsonSchema":
        if self.json_schema is not None:
            _validator(self.json_schema, "json_schema")
        return self

    @property
    def truths(self) -> tuple[str, ...]:
        return () if self.json_schema is not None else ("verification",)

    def scorer(self) -> Score:
        fixed = _validator(self.json_schema, "json_schema") if self.json_schema is not None else None

        def score(answer: str, row: Row) -> float:
            validator = fixed or _validator_of(row)
            try:
                return float(call_with_time_limit(lambda: accepts(validator, answer), self.timeout_s))
            except (ValueError, ArithmeticError, RecursionError, TimeoutError):
                return 0.0

        return score


def accepts(validator: Any, answer: str) -> bool:
    """Whether ``answer`` is JSON of the validator's schema; ValueError where it is no JSON."""
    return bool(validator.is_valid(json.loads(_unfenced(answer), parse_constant=_no_json)))


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _validator_of(row: Row) -> Any:
    """The validator of the row's own schema; GenerationError where it has none."""
    try:
        return _validator(json.loads(column(row, "verification")), "it")
    except ValueError as error:
        mend = "give every row a JSON schema in 'verification', or the verifier a `json_schema` for all rows"
        what = f"its verification is no schema: {error}"
        raise GenerationError(what, where=place_of(row), mend=mend) from None


def _validator(schema: Any, where: str) -> Any:
    """ValueError where ``schema`` is none."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"{where} is no JSON schema: {error.message}") from None
    return Draft202012Validator(schema)


def _unfenced(text: str) -> str:
    lines = text.strip().splitlines()
    if len(lines) >= 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return text
