"""The arithmetic of a training step, in floating-point operations: a product of m × k by k × n is 2 m k n.

Kaplan et al. 2020 (arXiv:2001.08361, §2.1) count 2 operations a weight a token forwards and 4 backwards; here an
adapter's backward pass is 2, as frozen weights have no gradient, and attention and the output head stand apart.
"""

from dataclasses import dataclass

from kt_resources.compute.memory.peak import Training


@dataclass(frozen=True)
class Work:
    """What a run does.

    Attributes:
        block: operations of the blocks' forward and backward passes towards the activations.
        weights: operations of the weights' own gradients.
        head: operations of the output head.
        dequantized: weights that are made whole from 4 bits, each time they are used.
        stepped: parameters that the optimizer moves, each step they are moved in.
        decoded: steps of generation, each a token for every sequence of a pass; ``decoded_tokens`` all tokens.
    """

    block: float = 0.0
    weights: float = 0.0
    head: float = 0.0
    dequantized: float = 0.0
    stepped: float = 0.0
    decoded: float = 0.0
    decoded_tokens: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def times(self, count: float) -> "Work":
        """The work done ``count`` times."""
        return Work(*(getattr(self, name) * count for name in self.__dataclass_fields__))

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.block + self.weights + self.head


def forward(training: Training, tokens: float, length: float, scored: float) -> Work:
    """One pass without gradients over ``tokens``, in sequences of ``length``, ``scored`` of them through the head."""
    shape, update = training.shape, training.update
    causal = 0.5
    attention = 4.0 * shape.layers * shape.queries * length * causal
    adapter = 2.0 * shape.layers * sum(update.rank * sum(shape.linears[name]) for name in update.adapted)
    head_tokens = tokens if training.objective.logits == "all" else scored
    return Work(
        block=tokens * (2.0 * shape.linear_parameters + attention + adapter) + _magnitudes(training),
        head=2.0 * shape.hidden * shape.vocab * head_tokens if training.objective.logits != "none" else 0.0,
        dequantized=shape.linear_parameters if update.frozen_bits else 0.0,
    )


def _magnitudes(training: Training) -> float:
    """DoRA multiplies A and B out through an identity matrix in every pass; its norms are 8 operations a weight."""
    update, shape = training.update, training.shape
    if not update.magnitude:
        return 0.0
    sizes = [shape.linears[name] for name in update.adapted]
    return float(shape.layers * sum(2 * update.rank * width * (width + out) + 8 * width * out for width, out in sizes))


def learning(training: Training, tokens: float, length: float, scored: float) -> Work:
    """A pass with gradients: forward, backward, the forward again where it is checkpointed, the reference's forward.

    The fused head computes its tiles again in the backward pass, but for a frozen one on a CPU (``trainers/head.py``).
    """
    ahead = forward(training, tokens, length, scored)
    trained = training.update.all_weights
    again = 1 if training.checkpointing else 0
    references = (1 if training.objective.reference == "start" else 0) + training.objective.companions
    again_head = (
        1 if training.objective.logits == "labelled" and (training.kind != "cpu" or training.update.head) else 0
    )
    head_passes = 2 + again_head + (1 if training.update.head else 0) + references
    share = training.update.trained / training.shape.parameters if trained else 0.0
    return Work(
        block=ahead.block * (2 + again + references),
        weights=ahead.block * min(1.0, share),
        head=ahead.head * head_passes,
        dequantized=ahead.dequantized * (2 + again + references),
    )


@dataclass(frozen=True)
class Run:
    """How much of everything a run does.

    Attributes:
        rows: rows learned from, every epoch counted (of an online objective: completions).
        steps: optimizer steps; ``passes`` micro-batches.
        evaluations: passes over the held-out rows.
    """

    rows: float
    steps: int
    passes: float
    evaluations: int


def run_work(training: Training, run: Run) -> dict[str, Work]:
    """The work of ``train`` and ``evaluate``."""
    lengths, sequences = training.lengths, training.objective.sequences
    rollouts = training.objective.rollouts
    length = lengths.mean + (rollouts.completion if rollouts else 0)
    scored = rollouts.completion if rollouts else lengths.mean_scored
    each_pass = run.rows * sequences / max(run.passes, 1)
    step = learning(training, each_pass * length, length, each_pass * scored)
    train = step.times(run.passes) + Work(stepped=float(training.update.trained) * run.steps)
    held_out = lengths.num_validation_rows or 0
    if rollouts:
        generated = Work(decoded=run.passes * rollouts.completion, decoded_tokens=run.rows * rollouts.completion)
        prompts = forward(training, run.rows * lengths.mean, lengths.mean, 0)
        answers = Work(decoded=rollouts.completion * -(-held_out // 32), decoded_tokens=held_out * rollouts.completion)
        return {"train": train + generated + prompts, "evaluate": answers.times(run.evaluations)}
    judged = forward(training, held_out * sequences * length, length, held_out * sequences * scored)
    if training.objective.reference == "start" or training.objective.companions:
        judged = judged.times(2)
    return {"train": train, "evaluate": judged.times(run.evaluations)}
