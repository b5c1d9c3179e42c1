"""The program as it is started by hand: a mistake is told without a stack trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from kt_resources.compute.program import EXIT_MISTAKE
from kt_resources.trainers.spec import TrainSpec


def test_a_mistake_ends_the_program_with_its_message(make_spec: Callable[..., TrainSpec], tmp_path: Path) -> None:
    spec = make_spec(model_dir=tmp_path / "absent")
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "kt_resources.trainers", "--spec", str(tmp_path / "spec.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == EXIT_MISTAKE
    assert "no checkpoint to start from" in done.stderr and "Traceback" not in done.stderr
    assert json.loads((spec.out_dir / "run" / "error.json").read_text())["kind"] == "TrainingError"
