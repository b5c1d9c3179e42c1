"""Continuous batching: which completion runs in which sequence, and what each step feeds to the model."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from kt_resources.generators.gguf_model import MICRO_BATCH, Feed, GgufContext


@dataclass
class Run:
    """A completion in progress: what is known of it, and what the model has not yet seen."""

    prompt: int
    sample: int
    position: int
    pending: list[int]
    token_ids: list[int] = field(default_factory=list)


class Scheduler:
    """Keeps ``num_slots`` sequences of a context busy until every prompt has its ``n`` completions.

    Sequence ``num_slots`` holds the tokens that all prompts begin with, ``num_slots + 1`` the prompt whose samples
    are being handed out; a new run starts from a copy of either.
    """

    def __init__(self, context: GgufContext, prompts: Sequence[Sequence[int]], n: int, num_slots: int) -> None:
        self.context, self.prompts, self.n, self.num_slots = context, prompts, n, num_slots
        self.shared = common_prefix(prompts)
        self.waiting: deque[tuple[int, int]] = deque((p, s) for p in range(len(prompts)) for s in range(n))
        self.running: dict[int, Run] = {}
        self.held: int | None = None
        if self.shared:
            self._prefill(num_slots, prompts[0][: self.shared], 0)

    def steps(self) -> Iterator[list[tuple[int, Run, int]]]:
        """Decode step by step; each gives (slot, run, index of its logits in the batch) of the runs that move."""
        while self.waiting or self.running:
            self._refill()
            feeds, moved = self._feeds()
            self.context.decode(feeds)
            yield moved

    def finish(self, slot: int) -> None:
        """The run in ``slot`` is over."""
        del self.running[slot]
        self.context.forget(slot)

    def _refill(self) -> None:
        for slot in range(self.num_slots):
            if slot not in self.running and self.waiting:
                self.running[slot] = self._start(slot, *self.waiting.popleft())

    def _start(self, slot: int, prompt: int, sample: int) -> Run:
        ids = self.prompts[prompt]
        if self.n == 1:
            source, seen = self.num_slots, self.shared
        else:
            source, seen = self.num_slots + 1, len(ids) - 1
            self._hold(prompt)
        if seen:
            self.context.copy(source, slot)
        return Run(prompt, sample, seen, list(ids[seen:]))

    def _hold(self, prompt: int) -> None:
        """Have sequence ``num_slots + 1`` hold all of the prompt but its last token."""
        if self.held == prompt:
            return
        holder, ids = self.num_slots + 1, self.prompts[prompt]
        self.context.forget(holder)
        if self.shared:
            self.context.copy(self.num_slots, holder)
        self._prefill(holder, ids[self.shared : -1], self.shared)
        self.held = prompt

    def _prefill(self, sequence: int, tokens: Sequence[int], position: int) -> None:
        for start in range(0, len(tokens), MICRO_BATCH):
            part = tokens[start : start + MICRO_BATCH]
            self.context.decode(
                [Feed(token, position + start + place, sequence, False) for place, token in enumerate(part)]
            )

    def _feeds(self) -> tuple[list[Feed], list[tuple[int, Run, int]]]:
        """The next batch: every run's pending tokens, as far as there is room; logits where a run has no more.

        In the order of the slots: llama.cpp computes together only sequences whose numbers follow one another.
        """
        feeds: list[Feed] = []
        moved: list[tuple[int, Run, int]] = []
        room = MICRO_BATCH - len(self.running)
        for slot, run in sorted(self.running.items()):
            count = min(len(run.pending), 1 + room)
            room -= count - 1
            complete = count == len(run.pending)
            for place in range(count):
                feeds.append(Feed(run.pending[place], run.position + place, slot, complete and place == count - 1))
            run.position += count
            del run.pending[:count]
            if complete:
                moved.append((slot, run, len(feeds) - 1))
        return feeds, moved


def run_all(
    scheduler: Scheduler,
    choose: Callable[[int, Run, int], int],
    stop_ids: frozenset[int],
    max_new_tokens: int,
) -> Iterator[tuple[Run, bool]]:
    """Every run as it ends, with whether an end token ended it.

    Args:
        choose: the next token, from (slot, run, index of the logits).
    """
    for moved in scheduler.steps():
        for slot, run, index in moved:
            token = choose(slot, run, index)
            stopped = token in stop_ids
            if not stopped:
                run.token_ids.append(token)
                run.pending.append(token)
            if stopped or len(run.token_ids) >= max_new_tokens:
                scheduler.finish(slot)
                yield run, stopped


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, at most all but the last token of the shortest."""
    if not prompts:
        return 0
    low, high = min(map(list, prompts)), max(map(list, prompts))
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return max(0, min(length, min(len(prompt) for prompt in prompts) - 1))
