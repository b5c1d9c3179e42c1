"""Row order: a permutation fixed by seed and epoch, with little padding."""

from kt_resources.trainers.order import GROUPED_STEPS, ByEpoch, length_grouped

LENGTHS = [(7 * row) % 50 + 1 for row in range(101)]


def test_it_is_a_permutation_that_depends_on_the_seed_alone() -> None:
    one, two, other = (length_grouped(LENGTHS, 4, seed) for seed in (3, 3, 4))
    assert sorted(one) == list(range(101))
    assert one == two != other


def test_steps_hold_rows_of_similar_length() -> None:
    order = length_grouped(LENGTHS, 4, seed=0)
    padded = sum(4 * max(LENGTHS[row] for row in order[start : start + 4]) for start in range(0, 100, 4))
    in_file_order = sum(4 * max(LENGTHS[start : start + 4]) for start in range(0, 100, 4))
    assert padded < 1.1 * sum(LENGTHS) < in_file_order


def test_the_longest_row_is_in_the_first_step_and_the_short_step_is_last() -> None:
    order = length_grouped(LENGTHS, 4, seed=0)
    full = order[:100]
    assert max(LENGTHS[row] for row in order[:4]) == max(LENGTHS[row] for row in full)
    assert len(order) == 101


def test_the_order_does_not_depend_on_how_a_step_is_cut_into_micro_batches() -> None:
    assert length_grouped(LENGTHS, 8, 0) == length_grouped(LENGTHS, 8, 0)
    assert GROUPED_STEPS * 8 > 101


def test_each_epoch_is_asked_anew() -> None:
    epoch = 0
    sampler = ByEpoch(lambda number: [number] * 2, lambda: epoch)
    assert list(sampler) == [0, 0]
    epoch = 5
    assert list(sampler) == [5, 5]
    assert len(sampler) == 2
