"""The figures that no formula gives: measured here, or stated with where they come from."""

from kt_resources.strict import Strict


class Constants(Strict):
    """What a kind of device adds.

    Attributes:
        process_gb: held before the model: Python and the libraries on a CPU, the context on a GPU.
        after_gb: the same once a training has ended: libraries, rows, and what the allocator gives back late.
        allocator_share: of what comes and goes, how much more the allocator holds.
    """

    process_gb: float
    after_gb: float
    allocator_share: float


CPU = Constants(process_gb=0.62, after_gb=0.78, allocator_share=0.1)
"""Fitted on the configurations that docs/plan.md names so; 0.503 GB are the imports alone, 0.05 more bitsandbytes."""

KEPT_KERNELS = 1024
"""Capacity of oneDNN's primitive cache."""

KERNELS_A_LENGTH = 30
"""Shapes of products of one batch length: layers, adapters and attention, forward and backward."""

KERNELS_LEFT = 0.37
"""Of what grows with the lengths, the share that is still held after a trim: three trainings, 4 to 12 steps."""

KERNEL_BYTES = 1.2e6
"""Of one, on average, fitted to five trainings of 57 to 152 steps; products of linear layers alone take 0.7e6."""

CUDA = Constants(process_gb=0.6, after_gb=0.0, allocator_share=0.08)
"""Not measured here. A CUDA context with cuBLAS takes 0.4 to 0.8 GB; the caching allocator's unused share as PyTorch's
notes on memory management describe it, a round figure."""
