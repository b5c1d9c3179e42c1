"""The recipe's data sections refuse what cannot work, and their imports stay light."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from kt_resources.recipes.data import Data, EvalData, Source, generated_tasks, overlaps, shared_seeds
from kt_resources.recipes.datasets import Dataset

GYM = {"type": "reasoning_gym", "name": "sums", "num_rows": 10, "seed": 1}


def test_defaults_make_a_whole_section():
    data = Data(sources=[GYM])
    assert set(data.sources[0].families) == {"chain_sum", "gcd", "calendar_arithmetic"}
    assert data.curation.near_duplicates.threshold == 0.8
    assert data.synthetic is None


@pytest.mark.parametrize(
    "change",
    [
        {"num_rows": 0},
        {"seed": -1},
        {"families": {}},
        {"answer_style": "long"},
        {"purpose": "test"},
        {"dirt": {"emails": -1}},
        {"famillies": {}},
        {"name": "Sums"},
        {"type": "csv"},
    ],
)
def test_a_bad_source_is_refused(change):
    with pytest.raises(ValidationError):
        TypeAdapter(Source).validate_python(GYM | change)


def test_two_sources_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="distinct; given more than once: sums"):
        Data(sources=[GYM, GYM | {"seed": 2}])


def test_the_name_synthetic_is_taken():
    with pytest.raises(ValidationError, match="may not be called 'synthetic'"):
        Data(sources=[GYM | {"name": "synthetic"}])


def test_one_seed_for_two_sources_of_a_family_is_refused():
    with pytest.raises(ValidationError, match=r"sums and more both draw .*gcd with seed 1"):
        Data(sources=[GYM, GYM | {"name": "more"}])
    Data(sources=[GYM | {"families": {"gcd": {}}}, GYM | {"name": "more", "families": {"chain_sum": {}}}])


def test_the_evaluations_seed_counts_too():
    data = Data(sources=[GYM], synthetic={"prompts": {"type": "reasoning_gym", "num_prompts": 4, "seed": 2}})
    assert shared_seeds(generated_tasks(data, EvalData(seed=3))) == []
    assert [text.split(" both")[0] for text in shared_seeds(generated_tasks(data, EvalData(seed=1)))] == [
        "sums and evaluation"
    ]
    assert len(shared_seeds(generated_tasks(data, EvalData(seed=2)))) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "mix", "weights": {}},
        {"type": "mix", "weights": {"a": 0}},
        {"type": "mix", "weights": {"a": 1}, "validation_fraction": 1},
        {"type": "on_policy_pairs", "policy": "sft", "num_samples": 1},
        {"type": "on_policy_pairs"},
        {"type": "prompts", "validation_rows": 0},
        {"type": "mixed"},
    ],
)
def test_a_bad_dataset_is_refused(bad):
    with pytest.raises(ValidationError):
        TypeAdapter(Dataset).validate_python(bad)


def test_overlaps_names_each_pair_and_what_it_shares():
    named = {"train": ["a", "b", "c"], "rl": ["d", "b"], "evaluation": ["c", "b"]}
    assert overlaps(named) == [
        ("train", "rl", ["b"]),
        ("train", "evaluation", ["b", "c"]),
        ("rl", "evaluation", ["b"]),
    ]
    assert overlaps({"train": ["a"], "rl": ["b"], "evaluation": []}) == []


def test_the_schema_imports_nothing_heavy():
    heavy = {"torch", "dagster", "transformers", "reasoning_gym", "datasketch", "pyarrow", "math_verify"}
    code = "import sys, kt_resources.recipes.data, kt_resources.verifiers, kt_resources.store.tables; "
    code += f"print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
