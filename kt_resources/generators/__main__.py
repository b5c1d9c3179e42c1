"""``python -m kt_resources.generators --spec spec.json``: let a model answer prompts."""

from kt_resources.compute.program import run_program
from kt_resources.generators.run import generate
from kt_resources.generators.spec import GenerateSpec

if __name__ == "__main__":
    run_program(GenerateSpec, generate)
