"""Which keys a place of a recipe takes: for the message on one that it does not."""

import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def fields_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that the place at ``path`` takes, in the order of the schema; none where any key is taken.

    Args:
        path: as pydantic tells it: keys, indices, and the tag of each discriminated union on the way.
    """
    here: list[Any] = [model]
    for step in path:
        here = [found for kind in here for found in _inside(kind, step)]
    models = [kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return list(dict.fromkeys(name for kind in models for name in kind.model_fields))


def _inside(kind: Any, step: str | int) -> list[Any]:
    """What a value of ``kind`` holds under ``step``; a union's tag chooses among its members."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if step in kind.model_fields:
            return _members(kind.model_fields[str(step)].annotation)
        return [kind] if step in _tags(kind) else []
    arguments = [argument for argument in get_args(kind) if argument is not Ellipsis]
    if get_origin(kind) in (list, tuple) and isinstance(step, int):
        return _members(arguments[0])
    return _members(arguments[1]) if get_origin(kind) is dict else []


def _members(annotation: Any) -> list[Any]:
    """The kinds that a union is made of, through ``Annotated``; the annotation itself where it is none."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _tags(kind: type[BaseModel]) -> set[Any]:
    """The values by which a discriminated union knows ``kind``."""
    annotations = (kind.model_fields[name].annotation for name in ("type", "method") if name in kind.model_fields)
    return {value for kind in annotations if get_origin(kind) is Literal for value in get_args(kind)}
