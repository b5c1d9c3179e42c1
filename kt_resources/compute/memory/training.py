"""What the memory and time of a training depend on: shape, axes, options and row lengths."""

import math
from typing import Literal

from pydantic import Field

from kt_resources.compute.memory.activations import Attention
from kt_resources.compute.memory.constants import CPU, CUDA, Constants
from kt_resources.compute.memory.parts import Lengths, ObjectiveMemory, UpdateMemory
from kt_resources.compute.memory.shape import ModelShape
from kt_resources.compute.needs import Precision
from kt_resources.strict import Strict

LONGEST_SHORT = 512
"""``LONGEST`` of ``trainers/attention.py``, which imports torch."""

BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}


class Training(Strict):
    """All that memory and time depend on.

    Attributes:
        micro_batch: rows of a pass on one process (of an online objective: completions).
        lengths: of the rows; a batch is as long as its longest row.
        padded: sequences of a pass may differ in length.
        batch_lengths: different lengths that batches have over the run, at most.
        kind: where the model lives; on ``cpu`` the process and the model share one memory.
        generated: sequences that an online objective generates at once; 0 takes those of a pass.
        accumulates: a step has several passes, whose gradients are held while the next one's activations are.
        shards: GPUs over which FSDP splits weights, gradients and optimizer state.
    """

    shape: ModelShape
    update: UpdateMemory
    objective: ObjectiveMemory
    lengths: Lengths
    micro_batch: int = Field(ge=1)
    precision: Precision = "bf16"
    checkpointing: bool = False
    padded: bool = True
    batch_lengths: int = Field(default=1, ge=1)
    generated: int = Field(default=0, ge=0)
    accumulates: bool = False
    kind: Literal["cuda", "rocm", "mps", "cpu"] = "cuda"
    shards: int = Field(default=1, ge=1)

    @property
    def constants(self) -> Constants:
        return CPU if self.kind == "cpu" else CUDA

    @property
    def dtype_bytes(self) -> int:
        return BYTES[self.precision]

    @property
    def loaded_bytes(self) -> int:
        """Bytes of a number of the weights as ``trainers/precision.py`` loads them.

        float32 where FSDP casts them by itself, and where all are trained in fp16, whose loss scaling needs it.
        """
        scaled = self.precision == "fp16" and self.update.all_weights
        return 4 if scaled or self.shards > 1 else self.dtype_bytes

    @property
    def length(self) -> int:
        """Tokens of the longest sequence in a pass, its completion included."""
        rollouts = self.objective.rollouts
        return self.lengths.longest + (rollouts.completion if rollouts else 0)

    @property
    def attention(self) -> Attention:
        """How its blocks attend: by products in bfloat16 on a CPU up to 512 tokens, else by torch's kernel."""
        length = round(self.rows_of_pass(self.lengths.longest)[1])
        if self.kind == "cpu" and self.precision == "bf16" and length <= LONGEST_SHORT:
            return Attention("products", length)
        return Attention("masked" if self.padded else "flash", length)

    def rows_of_pass(self, tokens: float, answer: float | None = None) -> tuple[int, float]:
        """Rows that a pass with gradients computes, and the tokens of each, where a dataset's row has ``tokens``.

        On a CPU up to 512 tokens the answers to one prompt stand behind it in one row (``shared_prompts.py``).

        Args:
            answer: tokens of an answer (of an online objective not among ``tokens``); the longest where not given.
        """
        rollouts = self.objective.rollouts
        if rollouts is None and not self.objective.shares_prompts:
            return self.sequences, tokens
        answer = answer or (rollouts.completion if rollouts else self.lengths.scored)
        rows, length = self.sequences, tokens + (answer if rollouts else 0)
        prompts = min(rows, math.ceil(max(self.generated, rows) / rollouts.group)) if rollouts else self.micro_batch
        shared = length + (math.ceil(rows / prompts) - 1) * answer
        fewer = shared <= LONGEST_SHORT and prompts * shared < rows * length
        return (prompts, shared) if self.kind == "cpu" and fewer else (rows, length)

    @property
    def mean_completion(self) -> float:
        """Tokens of an online objective's completions: the mean where it is known, else as many as they may have."""
        rollouts = self.objective.rollouts
        return (self.lengths.mean_scored or rollouts.completion) if rollouts else 0.0

    @property
    def scored(self) -> int:
        """Scored positions of the longest sequence."""
        rollouts = self.objective.rollouts
        return rollouts.completion if rollouts else self.lengths.scored

    @property
    def sequences(self) -> int:
        """Sequences of a pass."""
        return self.micro_batch * self.objective.sequences
