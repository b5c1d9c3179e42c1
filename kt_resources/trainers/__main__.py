"""``python -m kt_resources.trainers --spec spec.json``, alone or under ``accelerate launch -m``."""

import os
import warnings

# Read by the libraries as they are imported: no telemetry, no look-ups, no threads that outlive a fork.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
warnings.filterwarnings("ignore", category=FutureWarning)

from kt_resources.compute.program import run_program  # noqa: E402
from kt_resources.trainers.spec import TrainSpec  # noqa: E402
from kt_resources.trainers.training import train  # noqa: E402

if __name__ == "__main__":
    run_program(TrainSpec, train)
