"""What may be drawn, how often, and from which stream."""

import numpy as np
import pytest

from kt_resources.generators.config import Sampling
from kt_resources.generators.draw import Draw, draw_seed, nucleus

HALVES = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float32))


def kept(**options: float) -> dict[int, float]:
    ids, probabilities = nucleus(HALVES, Sampling.model_validate({"temperature": 1, "top_p": 1, **options}))
    return dict(zip(ids.tolist(), probabilities.round(4).tolist(), strict=True))


def test_everything_is_kept_in_the_order_of_ids() -> None:
    assert list(kept().items()) == [(0, 0.1), (1, 0.5), (2, 0.15), (3, 0.25)]
    assert list(kept(top_k=3)) == [1, 2, 3]


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert kept(top_p=0.5) == {1: 1.0}
    assert kept(top_p=0.51) == {1: 0.6667, 3: 0.3333}  # 0.5 / 0.75, 0.25 / 0.75


def test_top_k_comes_before_top_p() -> None:
    assert kept(top_k=2) == {1: 0.6667, 3: 0.3333}
    assert kept(top_k=2, top_p=0.6) == {1: 1.0}  # of 0.667 and 0.333, the first alone reaches 0.6
    assert len(kept(top_k=99)) == 4


def test_temperature_sharpens() -> None:
    assert kept(temperature=0.5)[1] == pytest.approx(0.25 / (0.01 + 0.25 + 0.0225 + 0.0625), abs=1e-3)


def test_candidates_lose_nothing_of_the_nucleus() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 5000).astype(np.float32)
    probabilities = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    order = np.argsort(-probabilities)
    count = int((probabilities[order].cumsum() < 0.9).sum()) + 1
    ids, _ = nucleus(logits, Sampling(temperature=1, top_p=0.9))
    assert ids.tolist() == sorted(order[:count].tolist())


def test_draws_follow_the_probabilities() -> None:
    draw = Draw(Sampling(temperature=1, top_p=1), 0, 0)
    counts = np.bincount([draw(HALVES) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.1, 0.5, 0.15, 0.25], atol=0.03)


def test_greedy_is_the_likeliest() -> None:
    assert Draw(Sampling(temperature=0), 3, 1)(HALVES) == 1


def test_streams_depend_on_seed_prompt_and_sample_alone() -> None:
    assert draw_seed(0, 1, 2) == draw_seed(0, 1, 2)
    assert len({draw_seed(seed, prompt, sample) for seed in (0, 1) for prompt in (0, 1) for sample in (0, 1)}) == 8
