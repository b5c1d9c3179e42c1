"""The registry is the union: every update strategy under its own name."""

from typing import get_args

import pytest

from kt_resources.trainers.updates import UPDATES, UpdateStrategy


@pytest.mark.parametrize(("name", "update"), UPDATES.items())
def test_an_update_is_complete(name: str, update: type[UpdateStrategy]) -> None:
    assert get_args(update.model_fields["type"].annotation) == (name,)
    assert update.__doc__ and update.__module__.rpartition(".")[2] == name
