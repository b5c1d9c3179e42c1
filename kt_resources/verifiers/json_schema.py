"""The answer is JSON that a schema accepts."""

import json
from typing import Any, Literal

from pydantic import Field, model_validator

from kt_resources.verifiers.base import Row, Score, VerifierConfig, place_of


class JsonSchema(VerifierConfig):
    """Score 1 where the answer is one JSON value that the schema accepts; a Markdown code fence is taken off.

    Attributes:
        json_schema: the schema for every row; None reads each row's from its ``verification`` column.
    """

    type: Literal["json_schema"]
    answer_marker: str | None = Field(default=None, min_length=1)
    json_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_a_schema(self) -> "JsonSchema":
        if self.json_schema is not None:
            _validator(self.json_schema, "json_schema")
        return self

    @property
    def truth(self) -> str | None:
        return None if self.json_schema is not None else "verification"

    def scorer(self) -> Score:
        fixed = _validator(self.json_schema, "json_schema") if self.json_schema is not None else None

        def score(answer: str, row: Row) -> float:
            validator = fixed or _validator(json.loads(row.get("verification") or "{}"), place_of(row))
            try:
                return float(validator.is_valid(json.loads(_unfenced(answer))))
            except (ValueError, RecursionError):
                return 0.0

        return score


def _validator(schema: dict[str, Any], where: str) -> Any:
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
