"""What a GGUF file says of itself, read from its bytes."""

from collections import Counter
from pathlib import Path
from typing import Any


def file_facts(file: Path) -> dict[str, Any]:
    """Size, bits a weight, and how many tensors are of which type (``F32:61 Q5_0:180 Q8_0:31``)."""
    from kt_resources.bases.gguf_file import GgufFile

    tensors = GgufFile(file).tensors
    num_weights = sum(int(tensor.n_elements) for tensor in tensors)
    types = Counter(tensor.tensor_type.name for tensor in tensors)
    return {
        "file_size_mb": round(file.stat().st_size / 1e6, 3),
        "bits_per_weight": round(8 * sum(int(tensor.n_bytes) for tensor in tensors) / num_weights, 3),
        "num_weights": num_weights,
        "tensor_types": " ".join(f"{name}:{count}" for name, count in sorted(types.items())),
    }
