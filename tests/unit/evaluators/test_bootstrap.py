import math

import pytest

from kt_resources.evaluators.bootstrap import (
    majority_scores,
    mean_interval,
    paired_difference,
    perplexity_drop,
    perplexity_interval,
    perplexity_ratio,
    unseen,
)
from kt_resources.evaluators.config import Bootstrap

OPTIONS = Bootstrap(resamples=2000, seed=1)


def test_the_interval_of_a_share_is_near_the_normal_approximation():
    # 40 of 100 right: standard error sqrt(0.4 * 0.6 / 100) = 0.049, so 95 % is 0.4 ± 1.96 * 0.049 = [0.304, 0.496].
    metric = mean_interval([1.0] * 40 + [0.0] * 60, OPTIONS)
    assert metric.value == 0.4
    assert metric.n == 100
    assert metric.low == pytest.approx(0.304, abs=0.015)
    assert metric.high == pytest.approx(0.496, abs=0.015)


def test_none_right_of_48_is_not_a_certain_zero():
    # Exact bound: (1 - p)^48 = 0.025  →  p = 1 - 0.025^(1/48) = 0.0740.
    metric = mean_interval([0.0] * 48, OPTIONS)
    assert (metric.value, metric.low) == (0.0, 0.0)
    assert metric.high == pytest.approx(0.0740, abs=1e-4)
    mirrored = mean_interval([1.0] * 48, OPTIONS)
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - 0.0740, abs=1e-4), 1.0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    scores = [0.0, 1.0, 1.0, 0.0, 1.0, 0.3, 0.9]
    assert mean_interval(scores, OPTIONS) == mean_interval(scores, OPTIONS)
    assert mean_interval(scores, OPTIONS) != mean_interval(scores, Bootstrap(resamples=2000, seed=2))


def test_pairing_narrows_the_interval_where_models_agree():
    # The two differ on 10 of 100 items only: mean 0.1, standard error sqrt(0.1 * 0.9 / 100) = 0.03.
    baseline = [1.0] * 50 + [0.0] * 50
    better = [1.0] * 60 + [0.0] * 40
    gain = paired_difference(better, baseline, OPTIONS)
    assert gain.value == pytest.approx(0.1)
    assert gain.low > 0.03
    alone = mean_interval(better, OPTIONS)
    assert gain.high - gain.low < alone.high - alone.low


def test_a_difference_needs_the_same_items():
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0, 0.0], [1.0], OPTIONS)


def test_no_scores_have_no_interval():
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([], OPTIONS)


def test_perplexity_weighs_passages_by_their_tokens():
    # (20 + 90) nats over 10 + 30 tokens: exp(110 / 40) = exp(2.75) = 15.64.
    metric = perplexity_interval([20.0, 90.0], [10, 30], OPTIONS)
    assert metric.value == pytest.approx(math.exp(2.75))
    assert metric.n == 40
    # Resampled to one of the two alone at the ends: exp(20/10) = 7.39 and exp(90/30) = 20.09.
    assert metric.low == pytest.approx(math.exp(2.0))
    assert metric.high == pytest.approx(math.exp(3.0))


def test_one_passage_has_no_interval():
    with pytest.raises(ValueError, match="at least two"):
        perplexity_interval([20.0], [10], OPTIONS)
    alone = {"nll": [30.0], "tokens": [10], "words": [5]}
    with pytest.raises(ValueError, match="at least two"):
        perplexity_drop(alone, alone, "tokens", OPTIONS)


def test_two_models_that_score_the_same_everywhere_are_not_certainly_equal():
    # None of 100 items differs: at 95 % fewer than 1 - 0.025^(1/100) = 3.6 % of all do, by at most one point each.
    same = paired_difference([1.0, 0.0] * 50, [1.0, 0.0] * 50, OPTIONS)
    assert (same.value, same.low, same.high) == (0.0, pytest.approx(-0.0362, abs=1e-4), pytest.approx(0.0362, abs=1e-4))
    # All of 100 differ by +1: at most 3.6 % do not, and lose up to two points: 1 - 2 * 0.0362.
    sure = paired_difference([1.0] * 100, [0.0] * 100, OPTIONS)
    assert (sure.low, sure.high) == (pytest.approx(1 - 2 * 0.0362, abs=1e-4), 1.0)


def test_the_bound_on_what_was_not_seen_holds_in_simulation():
    # An event that truly happens in 3 % of items is missed by all 100 of them in 0.97^100 = 4.8 % of draws; the bound
    # for n = 100 is 3.6 %, so that such a rate lies inside it, and one of 4 % (missed in 1.7 %) outside.
    assert 0.03 < unseen(100, OPTIONS) < 0.04
    assert (1 - unseen(100, OPTIONS)) ** 100 == pytest.approx(0.025)


def test_a_ratio_of_perplexities_is_resampled_by_passage():
    # exp(110/40) / exp(70/40) = e; resampled to one passage alone: exp(30/10 - 20/10) = e, exp(80/30 - 50/30) = e.
    base = {"nll": [20.0, 50.0], "tokens": [10, 30], "words": [5, 15]}
    tuned = {**base, "nll": [30.0, 80.0]}
    ratio = perplexity_ratio(base, tuned, "tokens", OPTIONS)
    assert ratio.value == pytest.approx(math.exp(1))
    assert ratio.low == pytest.approx(math.exp(1)) and ratio.high == pytest.approx(math.exp(1))
    worse = perplexity_ratio(base, {**base, "nll": [20.0, 80.0]}, "tokens", OPTIONS)
    # The first passage does not change (ratio 1), the second does by exp(30/30) = e.
    assert (worse.low, worse.high) == (pytest.approx(1.0), pytest.approx(math.exp(1)))


def test_a_perplexity_that_falls_is_a_gain():
    base = {"nll": [30.0, 60.0], "tokens": [10, 20], "words": [5, 10]}
    tuned = {**base, "nll": [20.0, 40.0]}
    gain = perplexity_drop(base, tuned, "tokens", OPTIONS)
    # exp(90/30) - exp(60/30) = 20.09 - 7.39 = 12.70, in every resample.
    assert gain.value == pytest.approx(math.exp(3) - math.exp(2))
    assert gain.low == pytest.approx(gain.high)


def test_the_majority_answer_is_counted_by_family():
    items = [{"family": "day", "answer": answer} for answer in ("Monday", "Monday", "Friday")]
    items += [{"family": "gcd", "answer": answer} for answer in ("4", "2")]
    # "Monday" in day; in gcd both are equally common and "2" comes first.
    assert majority_scores(items) == [1.0, 1.0, 0.0, 0.0, 1.0]
