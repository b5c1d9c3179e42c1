"""Checkpoints in continuous batches on a CPU: transformers' layers, with a slot for each sequence's keys and values.

Every step computes one row of tokens, a prompt's next ones beside the last ones of answers under way, so that matrices
are multiplied by all of them at once; attention alone goes sequence by sequence.

Imported only where a model is opened; it imports torch at the top.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from kt_resources.decoding.context import Feed
from kt_resources.decoding.plain import SlotPrecision

if TYPE_CHECKING:
    import numpy as np

ATTENTION = "kt_slots"
"""What transformers knows :func:`slot_attention` by."""


class SlotContext:
    """Room for ``num_sequences`` sequences of ``length`` tokens each (see :class:`~.context.Context`).

    Attributes:
        wanted: the last batch's logits where they were wanted, float32 (tokens, vocabulary).

    Args:
        model: loaded by :func:`open_for_slots`, or within :func:`attending_in_slots`.
    """

    def __init__(self, model: Any, num_sequences: int, length: int) -> None:
        config = model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (num_sequences, config.num_key_value_heads, length, size)
        self.model, self.used = model, [0] * num_sequences
        self.keys = [torch.zeros(shape, dtype=model.dtype) for _ in range(config.num_hidden_layers)]
        self.values = [torch.zeros(shape, dtype=model.dtype) for _ in range(config.num_hidden_layers)]
        self.wanted = torch.empty(0)
        self._rows: dict[int, int] = {}

    def close(self) -> None:
        """Free the keys and values."""
        self.keys, self.values = [], []

    @torch.no_grad()
    def decode(self, feeds: Sequence[Feed]) -> None:
        """Run the model over ``feeds``; those of a sequence follow one another."""
        step = _Step.of(feeds, self.keys, self.values)
        for feed in feeds:
            self.used[feed.sequence] = feed.position + 1
        wanted = [index for index, feed in enumerate(feeds) if feed.wants_logits]
        self._rows = {index: row for row, index in enumerate(wanted)}
        output = self.model(
            input_ids=_padded([feed.token for feed in feeds])[None],
            position_ids=_padded([feed.position for feed in feeds])[None],
            logits_to_keep=_padded(wanted or [0]),
            use_cache=False,
            slots=step,
        )
        self.wanted = output.logits[0, : len(wanted)].float()

    def logits(self, index: int) -> "np.ndarray":
        """Logits after the token at ``index`` of the last batch: float32 (vocabulary,)."""
        row: np.ndarray = self.wanted[self._rows[index]].numpy()
        return row

    def copy(self, source: int, target: int) -> None:
        """Give ``target`` what ``source`` holds."""
        used = self.used[target] = self.used[source]
        for layer in (*self.keys, *self.values):
            layer[target, :, :used] = layer[source, :, :used]

    def forget(self, sequence: int, position: int = 0) -> int:
        """Drop a sequence's tokens from ``position`` on; how many are left."""
        self.used[sequence] = position
        return position


def _padded(numbers: list[int]) -> torch.Tensor:
    """``numbers``, and zeros up to a multiple of 16 where they are many: oneDNN compiles a product for each length."""
    more = -len(numbers) % 16 if len(numbers) > 16 else 0
    return torch.tensor([*numbers, *[0] * more])


@dataclass(frozen=True)
class _Step:
    """Which sequence and position each token of a step has, and how attention goes about them.

    Attributes:
        singles: places of tokens that are their sequence's only ones, and ``rows``, what is attended to for them: all
            slots up to ``len(seen)``, or chosen ones.
        seen: (rows, 1, 1, longest), true where a row's token sees a position.
        runs: of sequences with several tokens: first place, end, sequence, first position.
    """

    keys: Sequence[torch.Tensor]
    values: Sequence[torch.Tensor]
    sequences: torch.Tensor
    positions: torch.Tensor
    singles: torch.Tensor
    rows: torch.Tensor
    chosen: torch.Tensor | None
    seen: torch.Tensor
    runs: Sequence[tuple[int, int, int, int]]

    @classmethod
    def of(cls, feeds: Sequence[Feed], keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> "_Step":
        starts = [index for index, feed in enumerate(feeds) if not index or feed.sequence != feeds[index - 1].sequence]
        parts = list(zip(starts, [*starts[1:], len(feeds)], strict=True))
        runs = [(a, b, feeds[a].sequence, feeds[a].position) for a, b in parts if b - a > 1]
        singles = [a for a, b in parts if b - a == 1]
        slots = torch.tensor([feeds[a].sequence for a in singles], dtype=torch.long)
        last = torch.tensor([feeds[a].position for a in singles], dtype=torch.long)
        span = int(slots.max()) + 1 if singles else 0
        dense = span <= 2 * len(singles)  # a few rows in vain cost less than a copy of all others
        rows = slots if dense else torch.arange(len(singles))
        ends = torch.zeros(span if dense else len(singles), dtype=torch.long)
        ends[rows] = last
        seen = torch.arange(int(last.max()) + 1 if singles else 0) <= ends[:, None]
        return cls(
            keys,
            values,
            torch.tensor([feed.sequence for feed in feeds]),
            torch.tensor([feed.position for feed in feeds]),
            torch.tensor(singles, dtype=torch.long),
            rows,
            None if dense else slots,
            seen[:, None, None],
            runs,
        )

    def attend(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> Any:
        """Put keys and values in their slots; (tokens, heads, size) of what the queries see there.

        Args:
            query: (tokens, heads, size), padding behind them.
            key, value: (tokens, key heads, size).
        """
        keys, values, count = self.keys[layer], self.values[layer], len(self.sequences)
        keys[self.sequences, :, self.positions] = key[:count]
        values[self.sequences, :, self.positions] = value[:count]
        out = torch.empty_like(query)
        out[count:] = 0
        if len(self.singles):
            out[self.singles] = self._singles(query[self.singles], keys, values, scale)
        for start, end, slot, before in self.runs:
            length = before + end - start
            mask = torch.ones(end - start, length, dtype=torch.bool).tril(before) if before else None
            out[start:end] = torch.nn.functional.scaled_dot_product_attention(
                query[None, start:end].transpose(1, 2),
                keys[None, slot, :, :length],
                values[None, slot, :, :length],
                attn_mask=mask,
                is_causal=mask is None,
                scale=scale,
                enable_gqa=True,
            )[0].transpose(0, 1)
        return out

    def _singles(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float) -> torch.Tensor:
        """Of one token a sequence: the heads that share keys are taken for so many tokens, and nothing is repeated."""
        rows, longest = self.seen.shape[0], self.seen.shape[-1]
        if self.chosen is None:
            keys, values = keys[:rows, :, :longest], values[:rows, :, :longest]
        else:
            keys, values = keys[self.chosen, :, :longest], values[self.chosen, :, :longest]
        heads, size = query.shape[1:]
        grouped = query.new_zeros(rows, keys.shape[1], heads // keys.shape[1], size)
        grouped[self.rows] = query.view(len(query), *grouped.shape[1:])
        found = torch.nn.functional.scaled_dot_product_attention(
            grouped, keys, values, attn_mask=self.seen, scale=scale
        )
        return found[self.rows].reshape(len(query), heads, size)


def slot_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float,
    slots: _Step,
    **further: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' interface of attention, for one row of tokens: ``query`` is (1, heads, tokens, size)."""
    query, key, value = query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1)
    return slots.attend(module.layer_idx, query, key, value, scaling)[None], None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, slot_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *_, **__: None)


@contextmanager
def attending_in_slots(model: Any) -> Iterator[None]:
    """Let ``model`` be decoded in a :class:`SlotContext`; it attends as before afterwards."""
    before = model.config._attn_implementation
    model.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        model.config._attn_implementation = before


def open_for_slots(folder: Path, precision: SlotPrecision) -> Any:
    """The checkpoint's model in ``precision``, its attention :func:`slot_attention`."""
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if precision == "BF16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=ATTENTION).eval()
    if precision == "F32":
        _lay_inputs_first(model)
    return model


def _lay_inputs_first(model: Any) -> None:
    """Weights of linear layers as (inputs, outputs) in memory, but for a head that is the embedding too.

    MKL multiplies 8 to 32 rows by them in half the time: 43 ms in place of 107 for 16 rows and all blocks of a 135M
    model, two cores with AVX-512. From 64 rows on it is the same.
    """
    embedding = model.get_input_embeddings().weight
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module.weight.data_ptr() != embedding.data_ptr():
            module.weight.data = module.weight.data.t().contiguous().t()
