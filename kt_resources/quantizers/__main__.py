"""``python -m kt_resources.quantizers --spec spec.json``: export a checkpoint to GGUF and quantize it."""

from kt_resources.compute.program import run_program
from kt_resources.quantizers.program import quantize_model
from kt_resources.quantizers.spec import QuantizeSpec

if __name__ == "__main__":
    run_program(QuantizeSpec, quantize_model)
