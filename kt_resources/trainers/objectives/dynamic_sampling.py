"""Dynamic sampling: groups of completions with equal rewards teach nothing, so other prompts take their place.

Yu et al. 2025 (arXiv:2503.14476, eq. 11), with a bound on how often a step may draw again.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]

COMPLETION_IDS, COMPLETIONS = 1, 3
"""Where TRL's ``_generate`` has them in what it returns."""


def equal_groups(rewards: Sequence[float], size: int) -> list[int]:
    """Numbers of the groups of ``size`` rewards that are all equal: their advantages are all 0.

    >>> equal_groups([1, 1, 0, 1, 0, 0], size=2)
    [0, 2]
    """
    groups = [rewards[at : at + size] for at in range(0, len(rewards), size)]
    return [number for number, group in enumerate(groups) if max(group) == min(group)]


def part(value: Any, place: slice, num_rows: int) -> Any:
    """The rows of ``place`` in one of the things generated; what is not a list of rows is left as it is."""
    return value[place] if isinstance(value, list) and len(value) == num_rows else value


def joined(parts: Sequence[Any]) -> Any:
    """The parts of one thing generated put together again."""
    return list(itertools.chain.from_iterable(parts)) if isinstance(parts[0], list) else parts[0]


class DynamicSampling:
    """Mixed in before a GRPOTrainer in the factory's loop whose objective has ``max_redraws``.

    It trains on groups whose rewards differ, as far as it can draw them.

    Which other prompts a step draws depends on seed and step alone, so that a resumed run draws the same. Their
    ids are written down beside the best weights, for lineage.
    """

    _made: tuple[Any, ...] | None = None
    _equal: Sequence[int] = ()

    def _generate(self: Any, prompts: list[Any]) -> tuple[Any, ...]:
        return super()._generate(prompts) if self._made is None else self._made  # type: ignore[misc]

    def _generate_and_score_completions(self: Any, inputs: list[Row]) -> dict[str, Any]:
        if self.model.training and self.objective.max_redraws:
            inputs, self._made = self._of_unequal_rewards(inputs)
        try:
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
            for number in self._equal:  # their lengths may differ, and length alone is not to be learned from
                output["advantages"][number * self.num_generations : (number + 1) * self.num_generations] = 0
            return output
        finally:
            self._made, self._equal = None, ()

    def _of_unequal_rewards(self: Any, inputs: list[Row]) -> tuple[list[Row], tuple[Any, ...]]:
        """Rows and what was generated for them."""
        size, others, drawn = self.num_generations, self._other_rows(inputs), []
        groups = [inputs[at : at + size] for at in range(0, len(inputs), size)]
        made: dict[int, list[Any]] = {}
        waiting = list(range(len(groups)))
        for draws_left in range(self.objective.max_redraws, -1, -1):
            # Every process takes part in every draw; one that waits for nothing lets go what it gets.
            rows = [row for number in waiting or [0] for row in groups[number]]
            found = super()._generate([row["prompt"] for row in rows])  # type: ignore[misc]
            equal = equal_groups(self._judged(rows, found), size)
            for place, number in enumerate(waiting):
                here = slice(place * size, (place + 1) * size)
                made[number] = [part(value, here, len(rows)) for value in found]
            waiting = [number for place, number in enumerate(waiting) if place in equal]
            if not draws_left or not self._over_processes(len(waiting)):
                break
            for number in waiting:
                groups[number] = [next(others)] * size
                drawn.append(groups[number][0]["id"])
        self._equal = waiting
        self._note(drawn, len(waiting))
        columns = zip(*(made[number] for number in range(len(groups))), strict=True)
        return [row for group in groups for row in group], tuple(map(joined, columns))

    def _judged(self: Any, rows: list[Row], found: tuple[Any, ...]) -> list[float]:
        columns = {key: [row[key] for row in rows] for key in rows[0] if key != "prompt"}
        completions, ids = found[COMPLETIONS], found[COMPLETION_IDS]
        prompts = [row["prompt"] for row in rows]
        return self.reward_funcs[0](completions=completions, prompts=prompts, completion_ids=ids, **columns)

    def _other_rows(self: Any, inputs: list[Row]) -> Iterator[Row]:
        """Rows that this step does not ask already, in an order of its own, again and again; each process's own."""
        import torch

        asked = {row["id"] for row in inputs}
        per_step = self.args.gradient_accumulation_steps
        place = self.state.global_step * per_step + self._step % per_step  # TRL's own count begins anew on resuming
        generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + place)
        order = torch.randperm(len(self.train_dataset), generator=generator).tolist()
        mine = order[self.accelerator.process_index :: self.accelerator.num_processes] or order
        others = [number for number in mine if self.train_dataset[number]["id"] not in asked] or mine
        return (self.train_dataset[number] for number in itertools.cycle(others))

    def _over_processes(self: Any, count: int) -> int:
        import torch

        return int(self.accelerator.gather(torch.tensor([count], device=self.accelerator.device)).sum())

    def _note(self: Any, drawn: list[str], num_equal: int) -> None:
        metrics = self._metrics["train"]
        metrics["redrawn_groups"].append(self._over_processes(len(drawn)))
        metrics["equal_groups"].append(self._over_processes(num_equal))
        file = self.keeper.folder.parent / f"drawn-{self.accelerator.process_index}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as lines:
            lines.write(json.dumps({"step": self.state.global_step + 1, "ids": drawn}) + "\n")

    def rows_trained(self: Any, step: int) -> list[str]:
        """Ids of the rows that the sampler gave and that were drawn in place of others, in the data's order."""
        seen = set(super().rows_trained(step))  # type: ignore[misc]
        for file in self.keeper.folder.parent.glob("drawn-*.jsonl"):
            for line in file.read_text().splitlines():
                note = json.loads(line)
                seen.update(note["ids"] if note["step"] <= step else [])
        return [id_ for id_ in self.train_dataset["id"] if id_ in seen]
