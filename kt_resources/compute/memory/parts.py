"""What each axis tells of its memory: an update strategy of its weights, an objective of its passes.

The modules in ``trainers/`` fill these in; the model of :mod:`kt_resources.compute.memory.peak` knows no name of any
objective or update strategy.
"""

from typing import Literal

from pydantic import Field

from kt_resources.strict import Strict


class UpdateMemory(Strict):
    """How an update strategy holds the weights.

    Attributes:
        trained: parameters that have a gradient and optimizer state.
        all_weights: the model's own weights are trained, not an adapter's.
        head: the output head, which is often the embedding, is among them.
        adapted: the linear layers of a block that carry an adapter.
        rank: of that adapter.
        frozen_bits: bits of a frozen linear weight; None keeps it in the training precision.
        rewritten: the frozen linear weights are not the start's (PiSSA's residual), so that no file holds them.
        magnitude: column norms are computed at each pass (DoRA), which holds weight-sized products.
        dropout: the adapter's input is dropped out, so that each adapted layer keeps its own copy.
        float32: what is trained stays in float32 under any precision.
        folds: while completions are drawn on a CPU it is folded into the layers (``trainers/rollouts.py``).
        vectors: numbers of a token that a block's trained vectors multiply, where they are what is trained (VeRA,
            (IA)³): kept in float32 for their gradients, and no layer's input.
        state_numbers: numbers that the optimizer keeps of a trained parameter; AdamW two.
        decomposed: operations of the singular value decompositions of all its matrices, once.
        decomposed_every: steps after which they are computed again; 0 where once, before training, is enough.
    """

    trained: int = Field(ge=0)
    all_weights: bool = False
    head: bool = False
    adapted: tuple[str, ...] = ()
    rank: int = 0
    frozen_bits: float | None = None
    rewritten: bool = False
    magnitude: bool = False
    dropout: bool = False
    float32: bool = False
    folds: bool = False
    vectors: int = Field(default=0, ge=0)
    state_numbers: float = 2.0
    decomposed: float = 0.0
    decomposed_every: int = Field(default=0, ge=0)


class Rollouts(Strict):
    """What an online objective generates before it learns.

    Attributes:
        completion: tokens of a completion, at most.
        group: completions of a prompt.
        iterations: optimizer steps that learn from one set of completions.
    """

    completion: int = Field(ge=1)
    group: int = Field(default=8, ge=1)
    iterations: int = Field(default=1, ge=1)


class ObjectiveMemory(Strict):
    """What an objective holds beside its start model.

    Attributes:
        sequences: sequences that one row becomes in a pass; a pair is two.
        logits: ``labelled`` projects labelled positions in tiles; ``all`` holds every position's logits.
        reference: ``start`` compares with the start model: a second model where all weights are trained, one more
            pass where an adapter is.
        companions: further whole models (a teacher).
        shares_prompts: the answers of a row share its prompt where a device computes them so (``shared_prompts.py``).
        rollouts: of online objectives.
    """

    sequences: int = 1
    logits: Literal["labelled", "all", "none"] = "labelled"
    reference: Literal["none", "start"] = "none"
    companions: int = 0
    shares_prompts: bool = False
    rollouts: Rollouts | None = None


class Lengths(Strict):
    """Tokens of a step's rows, one sequence each (of a pair the longer side; of a prompt without its completion).

    Attributes:
        longest: of the longest row.
        mean: of all rows.
        scored: of the longest row, those whose logits count; ``mean_scored`` of all rows.
        num_rows: training rows; None where they are not made yet.
        num_validation_rows: likewise.
        distinct: different lengths among the rows.
        known: whether these are counts; else they are the bound that the recipe sets.
    """

    longest: int = Field(ge=1)
    mean: float = Field(gt=0)
    scored: int = Field(ge=0)
    mean_scored: float = Field(ge=0)
    num_rows: int | None = None
    num_validation_rows: int | None = None
    distinct: int = 1
    known: bool = True
