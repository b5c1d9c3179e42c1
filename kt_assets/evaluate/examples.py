"""Worked examples for the base model: training rows, never held-out ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kt_assets.synthetic.few_shot import choose_few_shot
from kt_resources.evaluators.config import FewShot
from kt_resources.evaluators.spec import Example


def choose_examples(
    rows: Sequence[Mapping[str, Any]], tasks: Iterable[str], config: FewShot
) -> dict[str, tuple[Example, ...]]:
    """For each task ``config.num_examples`` examples of its family, drawn with ``config.seed``.

    A task without rows of its family gets examples of all families: they show the answer's form. Nothing where no
    row has one question and an answer.

    Args:
        rows: curated rows, from which held-out questions are removed.
        tasks: names of the held-out tasks, each a family.
    """
    if not config.num_examples:
        return {}
    by_family = choose_few_shot(rows, config.num_examples, config.seed)
    of_all = choose_few_shot([{**row, "family": ""} for row in rows], config.num_examples, config.seed)
    chosen = {task: by_family.get(task) or of_all.get("") for task in tasks}
    return {
        task: tuple(
            Example(id=row_id, question=asked["content"], completion=told["content"])
            for row_id, asked, told in zip(shots.ids, shots.turns[::2], shots.turns[1::2], strict=True)
        )
        for task, shots in chosen.items()
        if shots
    }
