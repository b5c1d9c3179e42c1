"""What differs between two runs: settings, counts of rows, and figures paired over the items both were asked."""

import pytest

from kt_assets.evaluate.compare import ABSENT, data_changes, figure_changes, recipe_changes
from kt_resources.evaluators.config import Bootstrap

OPTIONS = Bootstrap(resamples=200)


def samples(scores: list[float], prompt: str = "Q", model: str = "sft_model") -> list[dict]:
    return [
        {"model": model, "task": "gcd", "id": str(index), "prompt": f"{prompt}{index}", "score": score}
        for index, score in enumerate(scores)
    ]


def test_recipe_changes_name_the_place_and_both_values():
    one = {"sft_model": {"optimizer": {"lr": 1e-4}, "seed": 0, "tags": ["a"]}}
    other = {"sft_model": {"optimizer": {"lr": 2e-4}, "seed": 0, "tags": ["a", "b"]}}
    assert recipe_changes(one, other) == [
        {"setting": "sft_model.optimizer.lr", "first": 1e-4, "second": 2e-4},
        {"setting": "sft_model.tags.1", "first": ABSENT, "second": "b"},
    ]
    assert recipe_changes(one, one) == []


def test_data_changes_hold_counts_and_nothing_else():
    one = {"curated_examples": {"num_kept": 10, "removed": {"too_long": 2}, "share": 0.5, "fine": True}}
    other = {"curated_examples": {"num_kept": 12, "removed": {"too_long": 0}, "share": 0.7, "fine": False}}
    assert data_changes(one, other) == [
        {"count": "curated_examples.num_kept", "first": 10, "second": 12},
        {"count": "curated_examples.removed.too_long", "first": 2, "second": 0},
    ]


def test_difference_is_second_minus_first_over_the_same_items():
    first, second = samples([0, 0, 1, 1]), samples([1, 1, 1, 0])
    row = figure_changes(first, second, OPTIONS)[0]
    assert (row["first"], row["second"], row["difference"]) == (0.5, 0.75, 0.25)  # (+1 +1 0 -1) / 4
    assert row["low"] <= 0.25 <= row["high"]
    assert row["n"] == 4
    swapped = figure_changes(second, first, OPTIONS)[0]
    assert swapped["difference"] == -0.25


def test_an_item_asked_in_other_words_is_not_paired():
    first, second = samples([1, 1, 1]), samples([1, 0, 0])
    second[2]["prompt"] = "in other words"
    row = figure_changes(first, second, OPTIONS)[0]
    assert (row["n"], row["num_unpaired"]) == (2, 2)
    assert row["difference"] == -0.5  # items 0 and 1 alone: (0 - 1) / 2
    assert figure_changes(first, samples([1, 1, 1], prompt="other "), OPTIONS) == []


def test_a_model_of_one_run_alone_has_no_difference():
    both = figure_changes(samples([1]), samples([1]) + samples([0], model="gguf_model"), OPTIONS)
    assert {row["model"] for row in both} == {"sft_model"}


@pytest.mark.parametrize("name", ["nonsense", "other_line@current"])
def test_a_name_without_a_report_is_refused(name, tmp_path):
    from kt_assets.cli.compare import find_report
    from kt_resources.errors import StoreError
    from kt_resources.store.store import Store

    with pytest.raises(StoreError, match="no report is named"):
        find_report(Store(tmp_path), name)
