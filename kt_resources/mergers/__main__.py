"""``python -m kt_resources.mergers --spec spec.json``: merge models."""

from kt_resources.compute.environment import leave_out
from kt_resources.compute.program import run_program
from kt_resources.mergers.merge import merge
from kt_resources.mergers.spec import MergeSpec

if __name__ == "__main__":
    leave_out("bitsandbytes")  # mergekit imports PEFT, and that imports it
    run_program(MergeSpec, merge)
