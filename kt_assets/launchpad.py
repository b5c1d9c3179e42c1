"""The Launchpad's form for a stage, from the recipe's instance, and the way back through the same model.

Dagster's own ``Config`` classes take no unions and no defaults that come from a recipe; so the schema is built
from the values, and what a person typed is validated by the recipe's pydantic model when the step starts,
before a device is leased.
"""

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

import dagster as dg
from pydantic import ValidationError

from kt_resources.errors import RecipeError
from kt_resources.strict import Strict

SCALARS: dict[type, Any] = {bool: dg.Bool, int: dg.Int, float: dg.Float, str: dg.String}
OPTIONS = "making"


class Options(Strict):
    """What the Launchpad offers beside the recipe's own fields.

    Attributes:
        rebuild: make it again although the same making is known.
        allow_unchecked: read parents that have not passed their contract; the manifest records it.
        allow_oversize: train although the plan says that the device's memory does not suffice; likewise recorded.
    """

    rebuild: bool = False
    allow_unchecked: bool = False
    allow_oversize: bool = False


def launchpad_schema(config: Strict) -> dict[str, dg.Field]:
    """A Dagster config schema with ``config``'s fields and values as defaults; unknown keys are refused."""
    return _shape(config) | {OPTIONS: dg.Field(dg.Shape(_shape(Options())), is_required=False)}


def resolve_overrides(config: Strict, given: Mapping[str, Any] | None) -> tuple[Any, Options]:
    """The config of this run, and the options beside it, from what the Launchpad gave.

    Raises:
        dagster.Failure: a value that the recipe's model refuses.
    """
    values = dict(given or {})
    options = Options.model_validate(values.pop(OPTIONS, None) or {})
    try:
        return type(config).model_validate(_merged(config, values)), options
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (given {e['input']!r})" for e in error.errors())
        mistake = RecipeError(told, where="Launchpad", mend="correct the value and launch again")
        raise dg.Failure(description=str(mistake), allow_retries=False) from error


def _merged(config: Strict, given: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` as JSON values with ``given`` over it: sections merge key by key, any other value is replaced."""
    values = config.model_dump(mode="json")
    for key, value in given.items():
        section = getattr(config, key, None)
        values[key] = _merged(section, value) if isinstance(section, Strict) and isinstance(value, Mapping) else value
    return values


def _shape(model: Strict) -> dict[str, dg.Field]:
    return {
        name: _field(getattr(model, name), info.annotation, info.description or "")
        for name, info in type(model).model_fields.items()
    }


def _field(value: Any, annotation: Any, description: str) -> dg.Field:
    told: dict[str, Any] = {"description": description} if description else {}
    if isinstance(value, Strict):
        return dg.Field(dg.Shape(_shape(value)), is_required=False, **told)
    scalar = _scalar(value, annotation)
    if scalar is None:
        plain = _plain(value)
        if plain is None:
            return dg.Field(dg.Noneable(dg.Any), is_required=False, default_value=None, **told)
        return dg.Field(dg.Any, is_required=False, default_value=plain, **told)
    plain = _plain(value)
    optional = type(None) in get_args(annotation)
    kind = dg.Noneable(scalar) if optional or plain is None else scalar
    return dg.Field(kind, is_required=False, default_value=plain, **told)


def _scalar(value: Any, annotation: Any) -> Any:
    """The Dagster scalar of a field, from its annotation, so that ``1`` in a float field stays a float."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    kinds = [member for member in members if member is not type(None)]
    if len(kinds) == 1 and kinds[0] in SCALARS:
        return SCALARS[kinds[0]]
    return SCALARS.get(type(value)) if len(kinds) == 1 and isinstance(value, str) else None


def _plain(value: Any) -> Any:
    """``value`` as JSON values."""
    if isinstance(value, Strict):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
