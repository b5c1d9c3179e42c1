"""The arithmetic of a training step, in floating-point operations: a product of m × k by k × n is 2 m k n.

Kaplan et al. 2020 (arXiv:2001.08361, §2.1) count 2 operations a weight a token forwards and 4 backwards; here an
adapter's backward pass is 2, as frozen weights have no gradient, and attention and the output head stand apart.
"""

from dataclasses import dataclass

from kt_resources.compute.memory.held import activation_bytes, gradient_bytes, has_copies, optimizer_bytes
from kt_resources.compute.memory.training import Training

BACKWARD = 2
"""Times that an adapter's products read and write a layer's numbers backwards: for its weights, and for the input."""

NORMED_ALONE = 0.57
"""Share of the time of DoRA's norms in a pass with gradients that a pass without takes: 0.47 of 0.83 s, 135M model."""


@dataclass(frozen=True)
class Work:
    """What a run does.

    Attributes:
        block: operations of the blocks' forward and backward passes towards the activations.
        weights: operations of the weights' own gradients.
        head: operations of the output head.
        adapted: numbers of the layers that carry adapters, each pass (inputs and outputs of a token): an adapter's
            own products are small, what they read and write is not.
        normed: weights whose columns DoRA measures, each pass with gradients; without, :data:`NORMED_ALONE` of them.
        dequantized: weights that are made whole from 4 bits, each time they are used.
        stepped: parameters that the optimizer moves, each step they are moved in.
        touched: bytes that are asked for anew: activations each pass, gradients each step, the optimizer's state in
            the first.
        written: bytes of checkpoints and of kept weights.
        decoded: steps of generation, each a token for every sequence that is generated at once.
        decoded_adapted: those in which an adapter's products are computed for themselves.
        decomposed: operations of singular value decompositions.
    """

    block: float = 0.0
    weights: float = 0.0
    head: float = 0.0
    adapted: float = 0.0
    normed: float = 0.0
    dequantized: float = 0.0
    stepped: float = 0.0
    touched: float = 0.0
    written: float = 0.0
    decoded: float = 0.0
    decoded_adapted: float = 0.0
    decomposed: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def times(self, count: float) -> "Work":
        """The work done ``count`` times."""
        return Work(*(getattr(self, name) * count for name in self.__dataclass_fields__))

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.block + self.weights + self.head + self.decomposed


def forward(training: Training, tokens: float, length: float, scored: float) -> Work:
    """One pass without gradients over ``tokens``, in sequences of ``length``, ``scored`` of them through the head."""
    shape, update = training.shape, training.update
    causal = 0.5
    attention = 4.0 * shape.layers * shape.queries * length * causal
    widths = shape.layers * sum(sum(shape.linears[name]) for name in update.adapted)
    head_tokens = tokens if training.objective.logits == "all" else scored
    return Work(
        block=tokens * (2.0 * shape.linear_parameters + attention + 2.0 * update.rank * widths),
        head=2.0 * shape.hidden * shape.vocab * head_tokens if training.objective.logits != "none" else 0.0,
        adapted=tokens * widths,
        normed=_normed_alone(training),
        dequantized=shape.linear_parameters if update.frozen_bits else 0.0,
    )


def _normed_alone(training: Training) -> float:
    """Of DoRA's adapted weights, those that a pass without gradients counts."""
    if not training.update.magnitude:
        return 0.0
    sizes = [training.shape.linears[name] for name in training.update.adapted]
    return NORMED_ALONE * training.shape.layers * sum(width * out for width, out in sizes)


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
        adapted=ahead.adapted * (BACKWARD + 1 + again),
        normed=ahead.normed * (1 / NORMED_ALONE + again),
        touched=activation_bytes(training, tokens),
        dequantized=ahead.dequantized * (2 + again + references),
    )


@dataclass(frozen=True)
class Run:
    """How much of everything a run does.

    Attributes:
        rows: rows learned from, every epoch counted (of an online objective: completions).
        steps: optimizer steps; ``passes`` micro-batches.
        evaluations: passes over the held-out rows; after each but the first the weights may be kept.
        checkpoints: written to go on from, with the optimizer's state; None where time decides: the last one, here.
    """

    rows: float
    steps: int
    passes: float
    evaluations: int
    checkpoints: int | None = 0


def _moving(training: Training, run: Run) -> Work:
    """What the optimizer moves, what memory it takes for that, and what is written of it, all processes together."""
    gradients, state = _kept_bytes(training), optimizer_bytes(training) * training.shards
    copied = 4.0 * training.update.trained if has_copies(training) else 0.0  # their float32 copies' gradients
    return Work(
        stepped=float(training.update.trained) * run.steps,
        decomposed=training.update.decomposed * _refreshes(training, run.steps),
        touched=(gradients + copied) * run.steps + state,
        written=checkpoint_bytes(training) * (1 if run.checkpoints is None else run.checkpoints)
        + _kept_bytes(training) * max(0, run.evaluations - 1),
    )


def _refreshes(training: Training, steps: int) -> int:
    """How often matrices are decomposed during training: in the first step and every so many after it."""
    every = training.update.decomposed_every
    return -(-steps // every) if every else 0


def loading(training: Training) -> Work:
    """What is computed of the start model before training begins: decompositions that are needed once."""
    return Work(decomposed=0.0 if training.update.decomposed_every else training.update.decomposed)


def _kept_bytes(training: Training) -> float:
    """The weights that are trained, in the type of their gradients, of all processes together."""
    return gradient_bytes(training) * training.shards


def checkpoint_bytes(training: Training) -> float:
    """The weights that are trained with the optimizer's state, of all processes together."""
    return _kept_bytes(training) + optimizer_bytes(training) * training.shards


def _generated(training: Training, run: Run, longest: int, mean: float) -> Work:
    """All completions, of ``mean`` tokens; a step's generation goes on until the longest has ended.

    On a CPU an adapter is folded in once a step: its product, a sum in float32, and the result.
    """
    folds = training.kind == "cpu" and training.update.folds
    folded = training.shape.linear_parameters * (3 * 4 + training.dtype_bytes) if folds else 0
    drawn = _drawn(training, run.steps * longest, run.rows * mean, folded=folds)
    return drawn + Work(touched=float(folded) * run.steps)


def _drawn(training: Training, steps: float, tokens: float, folded: bool = False) -> Work:
    """``tokens`` in ``steps`` passes, each through all linear layers and the head, and the adapter where not folded."""
    shape, update = training.shape, training.update
    unfolded = 0 if folded else steps
    return Work(
        block=2.0 * tokens * (shape.linear_parameters + shape.hidden * shape.vocab),
        decoded=steps,
        decoded_adapted=unfolded if update.adapted else 0,
        normed=_normed_alone(training) * unfolded,
        dequantized=shape.linear_parameters * unfolded if update.frozen_bits else 0,
    )


def run_work(training: Training, run: Run) -> dict[str, Work]:
    """The work of ``train`` and ``evaluate``."""
    lengths, sequences = training.lengths, training.objective.sequences
    rollouts = training.objective.rollouts
    scored = training.mean_completion if rollouts else lengths.mean_scored
    rows, length = training.rows_of_pass(lengths.mean, scored)
    each_pass, a_sequence = run.rows * sequences / max(run.passes, 1), rows * length / training.sequences
    step = learning(training, each_pass * a_sequence, length, each_pass * scored)
    train = step.times(run.passes) + _moving(training, run)
    held_out = lengths.num_validation_rows or 0
    if rollouts:
        generated = _generated(training, run, rollouts.completion, scored).times(1 / rollouts.iterations)
        drawn = run.rows / rollouts.iterations
        read = drawn / (rollouts.group if training.kind == "cpu" else 1)
        prompts = forward(training, read * lengths.mean, lengths.mean, 0)
        if rollouts.iterations > 1:  # what the drawing policy said of them, to compare with
            generated += forward(training, drawn * a_sequence, length, drawn * scored)
        steps = rollouts.completion * -(-held_out // 32)
        answers = _drawn(training, steps, held_out * scored)
        return {"train": train + generated + prompts, "evaluate": answers.times(run.evaluations)}
    judged = forward(training, held_out * sequences * a_sequence, length, held_out * sequences * scored)
    if training.objective.reference == "start" or training.objective.companions:
        judged = judged.times(2)
    return {"train": train, "evaluate": judged.times(run.evaluations)}
