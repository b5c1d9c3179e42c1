"""Rows before they are made: counted by hand from the sources, for every kind of dataset."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from kt_assets.definitions import load_lines
from kt_assets.plan.expected import expected_lengths, most_rows, timed_lengths
from kt_assets.plan.glance import Sources
from kt_assets.plan.steps import is_training
from kt_assets.stage import Stage
from kt_resources.compute.memory.parts import Lengths
from kt_resources.errors import DataError
from kt_resources.recipes.data import Data
from kt_resources.recipes.datasets import Dataset
from kt_resources.strict import Strict
from kt_resources.trainers.objectives import OBJECTIVES

BOUND = Lengths(longest=60, mean=60, scored=30, mean_scored=30, distinct=60, known=False)


DATASET: TypeAdapter[Any] = TypeAdapter(Dataset)


def dataset(**section: Any) -> Any:
    named = {} if section["type"] == "mix" else {"sources": ["rows"]}
    return DATASET.validate_python(section | named)


def stage(config: Any) -> Stage:
    """A step's stage as far as it tells where its rows come from."""
    data = Stage("line", "data", "mix", "1", config)
    return Stage("line", "model", "train", "1", config, {"data": data})


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """``rows``: 80 of them, 40 with an answer of one word and 40 with one of nine; the other sections as they come."""
    rows = [{"instruction": "Say it", "output": "one " * (1 if n % 2 else 9)} for n in range(80)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {
        "sources": [{"name": "rows", "type": "file", "path": "rows.jsonl"}],
        "synthetic": {"prompts": {"type": "curated", "num_prompts": 6}, "num_samples": 4, "max_per_prompt": 2},
        "replay": {"num_prompts": 15},
    }
    return Sources(Data.model_validate(told), tmp_path)


@pytest.mark.parametrize(
    ("section", "total", "held_out"),
    [
        # 80 rows are eight tenths of 100, and of the other 20 the base model writes 15
        ({"type": "mix", "weights": {"rows": 0.8, "replay": 0.2}}, 95, 9.5),
        ({"type": "mix", "weights": {"rows": 0.8, "synthetic": 0.2}, "num_rows": 50}, 50, 5),
        ({"type": "mix", "weights": {"synthetic": 1.0}}, 12, 1.2),
        ({"type": "on_policy_pairs", "policy": "sft", "max_pairs_per_prompt": 2}, 160, 16),
        ({"type": "on_policy_pairs", "policy": "sft", "num_prompts": 30, "max_pairs": 20}, 20, 2),
        ({"type": "on_policy_labels", "policy": "sft", "num_samples": 3}, 240, 24),
        ({"type": "pairs", "validation_fraction": 0.2}, 80, 16),
        ({"type": "labels", "num_rows": 10}, 10, 1),
        ({"type": "prompts", "validation_rows": 16}, 80, 16),
        ({"type": "prompts", "num_rows": 20, "validation_rows": 4}, 20, 4),
    ],
)
def test_a_dataset_has_at_most_what_its_sources_give(
    sources: Sources, section: dict[str, Any], total: float, held_out: float
) -> None:
    rows = most_rows(dataset(**section), sources)
    assert (rows.total, rows.held_out) == (pytest.approx(total), pytest.approx(held_out))


def test_rows_are_as_long_as_those_of_the_source(sources: Sources) -> None:
    """Two words asked in a frame of 30, one or nine and the stop token answered: 34 or 42, of them 2 or 10."""
    told = expected_lengths(stage(dataset(type="mix", weights={"rows": 1.0})), sources, BOUND)
    assert (told.longest, told.mean, told.scored, told.mean_scored) == (42, 38, 10, 6)
    assert (told.num_rows, told.num_validation_rows, told.known) == (72, 8, False)


def test_prompts_are_without_their_answers_and_nothing_is_longer_than_it_may_be(sources: Sources) -> None:
    prompts = expected_lengths(stage(dataset(type="prompts")), sources, BOUND)
    assert (prompts.longest, prompts.mean, prompts.scored) == (32, 32, 0)
    mix = stage(dataset(type="mix", weights={"rows": 1.0}))
    cut = expected_lengths(mix, sources, BOUND.model_copy(update={"longest": 36}))
    assert (cut.longest, cut.mean) == (36, 36)


class Online(Strict):
    """As much of a step as tells that it samples."""

    objective: Any


def test_a_policy_is_expected_to_answer_as_the_sources_do(sources: Sources) -> None:
    """Answers of one and of nine words are 2 and 10 tokens with the stop token, but no longer than they may be."""
    counted = Lengths(longest=40, mean=32, scored=0, mean_scored=0, num_rows=5)
    for longest, mean in ((64, 6.0), (5, 5.0)):
        step = Online(objective=OBJECTIVES["grpo"](max_completion_length=longest))
        told = timed_lengths(Stage("line", "model", "train", "1", step), sources, counted)
        assert (told.mean_scored, told.scored, told.num_rows) == (mean, longest, 5)
    assert timed_lengths(stage(dataset(type="prompts")), sources, counted) == counted


def test_rows_of_models_alone_are_as_long_as_they_may_be(sources: Sources) -> None:
    told = expected_lengths(stage(dataset(type="mix", weights={"synthetic": 1.0})), sources, BOUND)
    assert (told.mean, told.num_rows) == (60, 11)


def test_a_file_that_is_not_there_is_named(sources: Sources) -> None:
    (sources.folder / "rows.jsonl").unlink()
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        sources.glance("rows")


@pytest.mark.parametrize("name", ["arithmetic", "own_data", "playbook", "survey", "tiny"])
def test_the_rows_of_every_shipped_line_are_within_its_bounds(name: str) -> None:
    line = next(line for line in load_lines()[0] if line.name == name)
    sources = Sources(line.recipe.data, line.folder)
    for step in filter(is_training, line.stages.values()):
        told = expected_lengths(step, sources, BOUND.model_copy(update={"longest": 512}))
        assert told.num_rows and told.num_rows > 1 and 10 < told.mean < 300
