"""A person's own scorer: a Python function by path."""

import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kt_resources.errors import GenerationError
from kt_resources.recipes.paths import from_recipe
from kt_resources.verifiers.base import Row, Score, VerifierConfig, checked, place_of
from kt_resources.verifiers.time_limit import call_with_time_limit


class Python(VerifierConfig):
    """``def score(completion: str, row: dict) -> float`` in a file of yours; 0 is wrong, 1 is right.

    The row has ``prompt`` (messages), ``answer``, ``verification``, ``id``, ``source``, ``family`` and ``origin``.

    Attributes:
        path: ``rewards.py:score``, counted from the recipe's folder.
        sha256: of the file, filled in when the recipe loads: a changed function makes what it judged stale.
        timeout_s: longest time for one completion.
        answer_marker: where set, the function gets the answer after it in place of the whole completion.
    """

    type: Literal["python"]
    answer_marker: str | None = Field(default=None, min_length=1)
    path: str
    sha256: str = ""
    timeout_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _found_from_the_recipe(cls, value: Any, info: ValidationInfo) -> Any:
        if not info.context or not isinstance(value, dict) or ":" not in str(value.get("path")):
            return value
        name, _, function = str(value["path"]).rpartition(":")
        file = from_recipe(Path(name), info)
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
        return value | {"path": f"{file}:{function}", "sha256": digest}

    @field_validator("path")
    @classmethod
    def _names_file_and_function(cls, value: str) -> str:
        file, _, function = value.rpartition(":")
        if not file.endswith(".py") or not function.isidentifier():
            raise ValueError(f"give file and function as rewards.py:score; got {value!r}")
        return value

    def scorer(self) -> Score:
        function = load_function(self.path)

        def score(answer: str, row: Row) -> float:
            where = f"{self.path}, {place_of(row)}"
            try:
                value = call_with_time_limit(lambda: function(answer, with_prompt(row)), self.timeout_s)
            except TimeoutError as error:
                mend = "make the function faster, or give the verifier a longer timeout_s"
                raise GenerationError(f"it timed out: {error}", where=where, mend=mend) from error
            except Exception as error:
                what = f"it raised {type(error).__name__}: {error}"
                raise GenerationError(what, where=where, mend="return 0 for what cannot be scored") from error
            return checked(_plain(value), where)

        return score


def with_prompt(row: Row) -> dict[str, Any]:
    """``row`` with its messages as ``prompt``; an evaluation item has them as ``system`` and ``question``."""
    if "prompt" in row or "question" not in row:
        return dict(row)
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    return dict(row) | {"prompt": [*system, {"role": "user", "content": row["question"]}]}


def load_function(path: str) -> Callable[[str, dict[str, Any]], Any]:
    """The function at ``file.py:name``; GenerationError where there is none."""
    name, _, function_name = path.rpartition(":")
    file = Path(name).resolve()
    if not file.is_file():
        raise GenerationError("there is no such file", where=path, mend="give the path relative to the recipe's folder")
    module_name = f"person_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise GenerationError("this is no Python file", where=path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GenerationError(f"the file does not load: {type(error).__name__}: {error}", where=path) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise GenerationError(f"the file has no function {function_name!r}", where=path)
    if (signature := _signature(function)) and not _takes_two(signature):
        mend = f"write it as `def {function_name}(completion, row)`: the answer's text, and the row that was asked"
        raise GenerationError(f"{function_name}{signature} cannot be called with two arguments", where=path, mend=mend)
    found: Callable[[str, dict[str, Any]], Any] = function
    return found


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None where a function (a builtin, say) does not tell."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _takes_two(signature: inspect.Signature) -> bool:
    try:
        signature.bind("", {})
    except TypeError:
        return False
    return True


def _plain(value: Any) -> Any:
    """A scalar of numpy or torch as a Python number."""
    return value.item() if hasattr(value, "item") and not isinstance(value, int | float) else value
