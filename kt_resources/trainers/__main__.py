"""``python -m kt_resources.trainers --spec spec.json``, alone or under ``accelerate launch -m``."""

import os
import warnings
from typing import Any

from kt_resources.compute.environment import be_quiet, leave_out

# Read by the libraries as they are imported: no telemetry, no look-ups, no thread that outlives a fork.
be_quiet()
for name, value in {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}.items():
    os.environ.setdefault(name, value)
warnings.filterwarnings("ignore", category=FutureWarning)

from kt_resources.compute.program import Progress, run_program  # noqa: E402
from kt_resources.trainers.spec import TrainSpec  # noqa: E402
from kt_resources.trainers.training import train  # noqa: E402
from kt_resources.trainers.updates.qlora import QuantizedLora  # noqa: E402


def main(spec: TrainSpec, progress: Progress) -> dict[str, Any]:
    """Train; without bitsandbytes, which PEFT would import, where no weight is held in 4 bits."""
    if not isinstance(spec.update, QuantizedLora):
        leave_out("bitsandbytes")
    return train(spec, progress)


if __name__ == "__main__":
    run_program(TrainSpec, main)
