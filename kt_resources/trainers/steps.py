"""Optimizer steps of an epoch, as trainers count them: schedules that end with the run ask, and the plan does."""

import math


def steps_per_epoch(num_rows: int, rows_per_pass: int, passes: int) -> int:
    """As transformers counts: the last step may be smaller.

    Args:
        rows_per_pass: of all processes together.
        passes: micro-batches of a step.

    >>> steps_per_epoch(10, 2, 2)
    3
    """
    return max(1, math.ceil(math.ceil(num_rows / rows_per_pass) / passes))


def online_steps_per_epoch(num_prompts: int, completions: int, group: int, iterations: int) -> int:
    """As TRL counts: what is left over of the prompts after whole steps is left out.

    Args:
        completions: that a step of all processes learns from, ``group`` of them a prompt.
        iterations: steps that learn from one set of completions.

    >>> online_steps_per_epoch(24, completions=40, group=4, iterations=2)
    4
    """
    return max(1, num_prompts // max(1, completions // group)) * iterations
