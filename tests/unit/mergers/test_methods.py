"""What a recipe may write under ``merge``, and what mergekit is told."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kt_resources.mergers.merge import mergekit_configuration
from kt_resources.mergers.methods import METHODS, MergeMethod, problem_with_inputs
from kt_resources.mergers.spec import MergeSpec

METHOD: TypeAdapter[Any] = TypeAdapter(MergeMethod)


def spec_with(model_dir: Path, method: Any, names: tuple[str, ...] = ("one", "two")) -> MergeSpec:
    inputs = [{"name": name, "dir": model_dir} for name in names]
    return MergeSpec.model_validate(
        {"out_dir": "out", "scratch_dir": "scratch", "base_dir": model_dir, "inputs": inputs, "method": method}
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_name_is_enough_and_survives_json(name: str) -> None:
    method = METHOD.validate_python(name)
    assert method.method == name
    assert METHOD.validate_json(method.model_dump_json()) == method


@pytest.mark.parametrize("name", METHODS)
def test_mergekit_knows_every_method_and_parameter(name: str) -> None:
    from mergekit import merge_methods

    known = {parameter.name for parameter in merge_methods.get(name).spec.parameters}
    method = METHOD.validate_python(name)
    assert {*method.shared(), *method.per_input("one")} <= known


def test_lambda_is_written_as_in_mergekit() -> None:
    method = METHOD.validate_python({"method": "task_arithmetic", "lambda": 0.7})
    assert method.shared() == {"normalize": False, "lambda": 0.7}
    assert method.model_dump()["lambda"] == 0.7


def test_weights_and_densities_by_input(tiny_model_dir: Path) -> None:
    method = {"method": "ties", "density": 0.6, "densities": {"two": 0.3}, "weights": {"one": 2}}
    configuration = mergekit_configuration(spec_with(tiny_model_dir, method))
    assert [model["parameters"] for model in configuration["models"]] == [
        {"weight": 2.0, "density": 0.6},
        {"weight": 1.0, "density": 0.3},
    ]
    assert configuration["base_model"] == str(tiny_model_dir)
    assert (configuration["dtype"], configuration["out_dtype"]) == ("float32", "float32")


@pytest.mark.parametrize(
    ("method", "names", "told"),
    [
        ("slerp", ("one", "two", "three"), "exactly 2 inputs, 3 given: one, two, three"),
        ({"method": "ties", "weights": {"six": 1}}, ("one", "two"), "name six; the inputs are one, two"),
        ({"method": "ties", "densities": {"six": 1}}, ("one", "two"), "name six"),
        ({"method": "ties", "density": 0}, ("one", "two"), "greater than 0"),
        ({"method": "ties", "density": 1.1}, ("one", "two"), "less than or equal to 1"),
        ({"method": "linear", "density": 0.5}, ("one", "two"), "density"),
        ({"method": "slerp", "t": 2}, ("one", "two"), "less than or equal to 1"),
        ("tie", ("one", "two"), "'tie'"),
    ],
)
def test_wrong_methods_are_refused(method: Any, names: tuple[str, ...], told: str, tiny_model_dir: Path) -> None:
    with pytest.raises(ValidationError, match=told):
        spec_with(tiny_model_dir, method, names)


def test_too_few_inputs() -> None:
    problem = problem_with_inputs(METHOD.validate_python("model_stock"), ["one"])
    assert problem == "model_stock merges at least 2 inputs, 1 given: one"
