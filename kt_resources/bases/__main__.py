"""``python -m kt_resources.bases --spec spec.json``: a base model becomes a checkpoint folder."""

from kt_resources.bases.load import load_base
from kt_resources.bases.spec import BaseSpec
from kt_resources.compute.program import run_program

if __name__ == "__main__":
    run_program(BaseSpec, load_base)
