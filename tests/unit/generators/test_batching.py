"""The scheduler feeds every token once, in order, and shares what prompts have in common."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from kt_resources.decoding.context import Feed
from kt_resources.generators import batching
from kt_resources.generators.batching import Run, Scheduler, common_length, run_all

END = 99


class Recorder:
    """Stands for a context: it keeps the tokens of every sequence and checks their positions."""

    def __init__(self, goes_back: bool = True) -> None:
        self.goes_back = goes_back
        self.held: dict[int, list[int]] = defaultdict(list)
        self.num_fed = 0

    def decode(self, feeds: Sequence[Feed]) -> None:
        assert 0 < len(feeds) <= batching.MICRO_BATCH
        assert feeds == sorted(feeds, key=lambda feed: feed.sequence), "llama.cpp would take them apart"
        self.num_fed += len(feeds)
        for feed in feeds:
            assert feed.position == len(self.held[feed.sequence])
            self.held[feed.sequence].append(feed.token)

    def copy(self, source: int, target: int) -> None:
        assert self.held[source], "nothing is copied"
        assert not self.held[target], "a sequence is copied over an old one"
        self.held[target] = list(self.held[source])

    def forget(self, sequence: int, position: int = 0) -> int:
        kept = position if self.goes_back else 0
        del self.held[sequence][kept:]
        return kept


def complete(
    prompts: list[list[int]], n: int, num_slots: int, lengths: Any, goes_back: bool = True
) -> tuple[Recorder, dict]:
    """Run all; completion (p, s) is 50, 51 ... and ends after ``lengths(p, s)`` tokens."""
    recorder: Any = Recorder(goes_back)
    scheduler = Scheduler(recorder, prompts, n, num_slots)

    class Counting:
        def __init__(self) -> None:
            self.finished: list[tuple[int, int]] = []

        def __call__(self, run: Run, index: int) -> int:
            (slot,) = [slot for slot, other in scheduler.running.items() if other is run]
            assert recorder.held[slot] == prompts[run.prompt] + run.token_ids
            return END if len(run.token_ids) == lengths(run.prompt, run.sample) else 50 + len(run.token_ids)

        def finish(self, run: Run) -> None:
            self.finished.append((run.prompt, run.sample))

    choose = Counting()
    runs = list(run_all(scheduler, choose, frozenset([END]), 6))
    assert choose.finished == [(run.prompt, run.sample) for run, _ in runs]
    return recorder, {(run.prompt, run.sample): (run.token_ids, stopped) for run, stopped in runs}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("num_slots", [1, 2, 5])
@pytest.mark.parametrize("goes_back", [True, False], ids=["attention", "recurrent"])
def test_every_completion_sees_its_own_prompt(n: int, num_slots: int, goes_back: bool) -> None:
    prompts = [[1, 2, 3], [1, 2, 4, 5], [1, 2], [1, 2, 4, 5]]
    _, found = complete(prompts, n, num_slots, lambda prompt, sample: prompt + 2 * sample, goes_back)
    assert set(found) == {(prompt, sample) for prompt in range(4) for sample in range(n)}
    for (prompt, sample), (ids, stopped) in found.items():
        length = prompt + 2 * sample
        assert ids == [50 + place for place in range(min(6, length))]
        assert stopped == (length < 6)


def test_a_shared_prompt_is_read_once() -> None:
    prompt = list(range(40))
    recorder, _ = complete([prompt], 4, 4, lambda *_: 0)
    assert recorder.num_fed == 39 + 4  # its first 39 tokens once, the last by each sample


def test_a_shared_beginning_is_read_once() -> None:
    prompts = [[*range(30), last] for last in (40, 41, 42)]
    recorder, _ = complete(prompts, 1, 3, lambda *_: 0)
    assert recorder.num_fed == 30 + 3


def test_long_prompts_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MICRO_BATCH", 8)
    prompts = [[1, *range(2, 30)], [9, *range(2, 20)], [7, 8]]
    _, found = complete(prompts, 1, 3, lambda *_: 2)
    assert found == {(prompt, 0): ([50, 51], True) for prompt in range(3)}


def test_each_beginning_is_read_once_whatever_order_prompts_come_in() -> None:
    beginnings = [[1, *range(100, 140)], [1, *range(200, 240)]]
    prompts = [[*beginnings[place % 2], 300 + place] for place in range(6)]
    recorder, found = complete(prompts, 1, 2, lambda *_: 2)
    assert recorder.num_fed == 41 + 40 + 6 * (1 + 2)  # the second keeps the first token of the first
    assert len(found) == 6


def test_a_short_common_beginning_is_not_worth_a_step() -> None:
    prompts = [[1, 2, 3, last] for last in (40, 41, 42)]
    recorder, _ = complete(prompts, 1, 3, lambda *_: 0)
    assert recorder.num_fed == 3 * 4


@pytest.mark.parametrize(
    ("one", "other", "length"), [([], [1], 0), ([1, 2, 3], [1, 2, 4], 2), ([1, 2], [1, 2, 3], 2), ([1], [2], 0)]
)
def test_common_length(one: list[int], other: list[int], length: int) -> None:
    assert common_length(one, other) == common_length(other, one) == length
