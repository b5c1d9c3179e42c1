"""``python -m kt_resources.evaluators --spec spec.json``."""

import os

from kt_resources.compute.program import run_program
from kt_resources.evaluators.run import work
from kt_resources.evaluators.spec import EvaluateSpec

if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress is reported by the program itself
    run_program(EvaluateSpec, work)
