"""What an objective is built from, on the tiny model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kt_resources.trainers.spec import TrainSpec


@pytest.fixture
def build(tmp_path: Path) -> Callable[[TrainSpec], Any]:
    """The TRL trainer of a spec, as the program builds it, before training."""

    def build_trainer(spec: TrainSpec) -> Any:
        from kt_resources.compute.program import Progress
        from kt_resources.trainers.training import _at_its_start, _build, _import_libraries, _load

        _import_libraries()
        spec = _at_its_start(spec)
        return _build(spec, *_load(spec), Progress(spec.out_dir))

    return build_trainer
