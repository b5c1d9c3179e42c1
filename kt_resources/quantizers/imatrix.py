"""Importance matrix: how much each input column of each linear layer is used, over calibration rows.

llama.cpp weighs the rounding error of a weight by the mean square of the activations that it multiplies
(ggml-org/llama.cpp pull request 4861): Σ_j E[x_j²] · (w_ij − q_ij)².
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kt_resources.errors import QuantizeError

if TYPE_CHECKING:
    import numpy as np
    import torch

MAX_BATCH_TOKENS = 2048
"""Most tokens of one forward pass, padding included."""


def read_calibration_rows(files: Sequence[Path], num_rows: int) -> list[list[int]]:
    """Token ids of ``num_rows`` rows, an equal share of each Parquet file; of all its rows where one has fewer.

    What a model learned from rows that take no part is rounded without regard to it, and lost first.

    Raises:
        QuantizeError: no such file, no column ``input_ids``, or no tokens.
    """
    shares = [num_rows // len(files) + (place < num_rows % len(files)) for place in range(len(files))]
    return [row for file, share in zip(files, shares, strict=True) for row in _evenly_spaced(file, share)]


def _evenly_spaced(file: Path, num_rows: int) -> list[list[int]]:
    import pyarrow.parquet as pq

    mend = "give Parquet rows with a column input_ids, as a training mix has"
    try:
        column = pq.read_table(file, columns=["input_ids"]).column("input_ids").to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise QuantizeError(f"calibration rows cannot be read: {error}", where=str(file), mend=mend) from error
    rows = [row for row in column if row]
    if not rows:
        raise QuantizeError("there are no calibration rows", where=str(file), mend=mend)
    count = min(num_rows, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def importance_matrix(
    model_dir: Path,
    rows: Sequence[Sequence[int]],
    on_rows: Callable[[int, int], None] | None = None,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> dict[str, "np.ndarray"]:
    """GGUF tensor name → mean square of each input column over all tokens of ``rows``; float32 (columns,).

    Padding takes no part. Where embeddings are tied, ``token_embd.weight`` is weighed by the input of the output head.

    Args:
        on_rows: called with (rows done, rows).

    Raises:
        QuantizeError: activations are not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from kt_resources.compute.precision import program_device

    device = program_device()
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model: Any = AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype).to(device).eval()
    sums = SquareSums(model)
    done = 0
    with torch.no_grad(), sums.watching():
        for batch in length_batches(rows, max_batch_tokens, model.config.max_position_embeddings):
            ids, sums.mask = padded(batch, device)
            hidden = model.base_model(input_ids=ids, attention_mask=sums.mask, use_cache=False).last_hidden_state
            sums.add("lm_head", hidden)
            done += len(batch)
            if on_rows:
                on_rows(done, len(rows))
    return _by_gguf_name(sums.means(), model.config)


class SquareSums:
    """Sums of squares of the inputs of every linear layer of a model, over the tokens that ``mask`` marks.

    Attributes:
        mask: (rows, tokens), 1 where a token counts.
    """

    def __init__(self, model: "torch.nn.Module") -> None:
        import torch

        self.layers = {name: part for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
        self.mask: Any = None
        self.sums: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, inputs: "torch.Tensor") -> None:
        """Add inputs of (rows, tokens, columns)."""
        import torch

        squares = inputs[self.mask.bool()].float().square().sum(0, dtype=torch.float64)
        self.sums[name] = self.sums.get(name, 0) + squares
        self.counts[name] = self.counts.get(name, 0) + int(self.mask.sum())

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Add the inputs of every forward pass within."""
        hooks = [
            part.register_forward_pre_hook(lambda _, inputs, name=name: self.add(name, inputs[0]))
            for name, part in self.layers.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def means(self) -> dict[str, "np.ndarray"]:
        """Module name → mean square of each input column."""
        import numpy as np

        return {name: (total / self.counts[name]).cpu().numpy().astype(np.float32) for name, total in self.sums.items()}


def length_batches(rows: Sequence[Sequence[int]], max_tokens: int, max_length: int) -> Iterator[list[Sequence[int]]]:
    """Rows of like length together, cut at ``max_length``, at most ``max_tokens`` a batch with padding (or one row)."""
    batch: list[Sequence[int]] = []
    for row in sorted((row[:max_length] for row in rows), key=len):
        if batch and (len(batch) + 1) * len(row) > max_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], device: str = "cpu") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Ids and mask, (rows, longest row); padding stands on the right, where no causal model sees it."""
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


def _by_gguf_name(means: dict[str, "np.ndarray"], config: Any) -> dict[str, "np.ndarray"]:
    import gguf
    import numpy as np

    from kt_resources.quantizers.families import family_of

    arch = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}[family_of(config).gguf_arch]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    found = {}
    for module, values in means.items():
        if not np.isfinite(values).all():
            mend = "the model diverged; see its held-out loss"
            raise QuantizeError(f"inputs of {module} are not finite", where="importance matrix", mend=mend)
        source = "model.embed_tokens" if module == "lm_head" and config.tie_word_embeddings else module
        name = names.get_name(f"{source}.weight", try_suffixes=(".weight",))
        if name:
            found[name] = values
    return found
