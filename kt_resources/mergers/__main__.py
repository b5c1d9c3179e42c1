"""``python -m kt_resources.mergers --spec spec.json``: merge models."""

from kt_resources.compute.program import run_program
from kt_resources.mergers.merge import merge
from kt_resources.mergers.spec import MergeSpec

if __name__ == "__main__":
    run_program(MergeSpec, merge)
