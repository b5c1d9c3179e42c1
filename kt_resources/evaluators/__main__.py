"""``python -m kt_resources.evaluators --spec spec.json``."""

from kt_resources.compute.program import run_program
from kt_resources.evaluators.run import work
from kt_resources.evaluators.spec import EvaluateSpec

if __name__ == "__main__":
    run_program(EvaluateSpec, work)
