"""The figures that no formula gives: measured here, or stated with where they come from."""

from kt_resources.strict import Strict


class Constants(Strict):
    """What a kind of device adds.

    Attributes:
        process_gb: held before the model: Python and the libraries on a CPU, the context on a GPU.
        after_gb: the same once a training has ended: libraries, rows, and what the allocator gives back late.
        mapped_share: share of a checkpoint's file that is resident while it is loaded.
        allocator_share: of what comes and goes, how much more the allocator holds.
    """

    process_gb: float
    after_gb: float
    mapped_share: float
    allocator_share: float


CPU = Constants(process_gb=0.65, after_gb=0.8, mapped_share=1.0, allocator_share=0.05)
"""Measured by ``make plan-benchmark`` on its ``fit`` configurations (docs/plan.md)."""

CUDA = Constants(process_gb=0.6, after_gb=0.0, mapped_share=0.0, allocator_share=0.08)
"""Not measured here. A CUDA context with cuBLAS takes 0.4 to 0.8 GB; the caching allocator's unused share as PyTorch's
notes on memory management describe it, a round figure."""
