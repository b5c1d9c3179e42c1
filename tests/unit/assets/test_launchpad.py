"""The Launchpad shows the recipe's values as defaults, refuses unknown keys, and goes back through the model."""

from typing import Literal

import dagster as dg
import pytest
from pydantic import Field

from kt_assets.launchpad import Options, launchpad_schema, resolve_overrides
from kt_resources.strict import Strict


class Inner(Strict):
    type: Literal["lora"] = "lora"
    r: int = Field(default=16, ge=1)
    alpha: float = 32


class Config(Strict):
    name: str = "sft"
    rate: float = 1e-3
    max_steps: int | None = None
    update: Inner = Inner()
    weights: dict[str, float] = {"a": 1.0}
    inputs: tuple[str, ...] = ("x", "y")


def resolved(given: dict[str, object]) -> tuple[Config, Options]:
    """``given`` as Dagster resolves it against the schema, then back through the model."""
    from dagster._config import process_config

    outcome = process_config(dg.Field(dg.Shape(launchpad_schema(Config()))).config_type, given)
    assert outcome.success, outcome.errors
    return resolve_overrides(Config(), outcome.value)


def test_without_overrides_the_recipe_stands() -> None:
    assert resolved({}) == (Config(), Options())


def test_a_nested_value_is_overridden_alone() -> None:
    config, _ = resolved({"update": {"r": 4}})
    assert config == Config(update=Inner(r=4))


def test_an_optional_value_can_be_given() -> None:
    assert resolved({"max_steps": 3})[0].max_steps == 3


def test_lists_and_mappings_can_be_given() -> None:
    config, _ = resolved({"inputs": ["z"], "weights": {"b": 2.0}})
    assert config.inputs == ("z",)
    assert config.weights == {"b": 2.0}


def test_options_stand_beside_the_recipe() -> None:
    assert resolved({"making": {"rebuild": True}})[1] == Options(rebuild=True)


@pytest.mark.parametrize("given", [{"nonsense": 1}, {"update": {"rank": 4}}, {"rate": "fast"}, {"making": {"x": 1}}])
def test_unknown_keys_and_wrong_types_are_refused_at_launch(given: dict[str, object]) -> None:
    from dagster._config import process_config

    assert not process_config(dg.Field(dg.Shape(launchpad_schema(Config()))).config_type, given).success


def test_a_value_out_of_bounds_is_refused_with_its_place() -> None:
    with pytest.raises(dg.Failure) as failure:
        resolved({"update": {"r": 0}})
    assert "update.r" in (failure.value.description or "")
    assert "given 0" in (failure.value.description or "")
