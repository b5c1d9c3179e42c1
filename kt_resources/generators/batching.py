"""Continuous batching: which completion runs in which sequence, and what each step feeds to the model."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kt_resources.decoding.context import MICRO_BATCH, Context, Feed
from kt_resources.generators.config import Sampling
from kt_resources.generators.engine import ChatTokenizer, Completion, OnProgress


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

    Prompts are started in the order of their tokens. Sequence ``num_slots`` holds what a prompt has in common with the
    one after it, or all but the last token of a prompt with several samples; a new run starts from a copy of it, so
    that a beginning is read once.
    """

    least_shared = 16
    """Fewest tokens that are worth a step of their own to be read once."""

    def __init__(self, context: Context, prompts: Sequence[Sequence[int]], n: int, num_slots: int) -> None:
        self.context, self.prompts, self.n, self.num_slots = context, prompts, n, num_slots
        order = sorted(range(len(prompts)), key=lambda place: list(prompts[place]))
        self.waiting: deque[tuple[int, int]] = deque((place, sample) for place in order for sample in range(n))
        self.running: dict[int, Run] = {}
        self.held: list[int] = []

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
        following = self.prompts[self.waiting[0][0]] if self.waiting else ()
        self._hold(ids[:-1], len(ids) - 1 if self.n > 1 else common_length(ids[:-1], following))
        seen = len(self.held)
        if seen:
            self.context.copy(self.num_slots, slot)
        return Run(prompt, sample, seen, list(ids[seen:]))

    def _hold(self, ids: Sequence[int], length: int) -> None:
        """Hold a beginning of ``ids``: what is held of it already, and up to ``length`` where that spares enough."""
        known = common_length(self.held, ids)
        if known < len(self.held):
            known = self.context.forget(self.num_slots, known)
            del self.held[known:]
        if length - known >= (self.least_shared if self.n == 1 else 1):
            self._prefill(ids[known:length], known)
            self.held.extend(ids[known:length])

    def _prefill(self, tokens: Sequence[int], position: int) -> None:
        for start in range(0, len(tokens), MICRO_BATCH):
            part = tokens[start : start + MICRO_BATCH]
            self.context.decode(
                [Feed(token, position + start + place, self.num_slots, False) for place, token in enumerate(part)]
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


class Chooser(Protocol):
    """Chooses next tokens."""

    def __call__(self, run: Run, index: int) -> int:
        """The next token of ``run``, whose logits are those at ``index`` of the last batch."""
        ...

    def finish(self, run: Run) -> None:
        """``run`` is over."""
        ...


def complete_all(
    scheduler: Scheduler,
    choose: Chooser,
    tokenizer: ChatTokenizer,
    sampling: Sampling,
    on_progress: OnProgress | None = None,
) -> list[list[Completion]]:
    """The completions of each of the scheduler's prompts, in their order."""
    found: dict[tuple[int, int], Completion] = {}
    num_prompts, n, num_tokens = len(scheduler.prompts), scheduler.n, 0
    for run, stopped in run_all(scheduler, choose, tokenizer.stop_ids, sampling.max_new_tokens):
        ids = tuple(run.token_ids)
        found[run.prompt, run.sample] = Completion(tokenizer.decode(ids), ids, stopped, len(ids) + stopped)
        num_tokens += len(ids) + stopped
        if on_progress:
            on_progress(len(found), num_prompts * n, num_tokens)
    return [[found[prompt, index] for index in range(n)] for prompt in range(num_prompts)]


def run_all(
    scheduler: Scheduler, choose: Chooser, stop_ids: frozenset[int], max_new_tokens: int
) -> Iterator[tuple[Run, bool]]:
    """Every run as it ends, with whether an end token ended it."""
    for moved in scheduler.steps():
        for slot, run, index in moved:
            token = choose(run, index)
            stopped = token in stop_ids
            if not stopped:
                run.token_ids.append(token)
                run.pending.append(token)
            if stopped or len(run.token_ids) >= max_new_tokens:
                scheduler.finish(slot)
                choose.finish(run)
                yield run, stopped


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
