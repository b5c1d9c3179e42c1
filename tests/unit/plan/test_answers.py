"""What stages have models say, counted by hand from a recipe's sources."""

import json
from pathlib import Path
from typing import Any

import pytest

from kt_assets.plan.answers import PROBE_TOKENS, TOKENS_A_WORD, Answers, asked_of_models
from kt_assets.plan.glance import Sources
from kt_assets.sources.assets import EvalConfig
from kt_assets.stage import Stage
from kt_resources.evaluators.config import Evaluation
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.data import Curation, Data, EvalData, Replay, Synthetic
from kt_resources.recipes.datasets import OnPolicyLabels, OnPolicyPairs
from kt_resources.recipes.held_out import FileTasks, HeldOut

PROMPT, ANSWER = 32, 4
"""Tokens of `Say it` under a template, about, and of `one two three` with its stop token."""


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    row = json.dumps({"instruction": "Say it", "output": "one two three"}) + "\n"
    (tmp_path / "rows.jsonl").write_text(row * 50)
    (tmp_path / "asked.jsonl").write_text(json.dumps({"prompt": "Say it"}) + "\n")
    told = [
        {"name": "rows", "type": "file", "path": "rows.jsonl"},
        {"name": "better", "type": "file", "path": "rows.jsonl", "purpose": "preference"},
    ]
    return Sources(Data.model_validate({"sources": told}), tmp_path)


def stage(config: Any, **parents: Any) -> Stage:
    made = {name: Stage("line", name, "room", "1", told) for name, told in parents.items()}
    return Stage("line", "asked", "room", "1", config, made)


def eval_tasks(tasks: Any) -> EvalConfig:
    return EvalConfig.model_construct(tasks=tasks, sources=("rows",))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # every prompt is read once; a trained model answers as the rows do, within what it may
        (
            OnPolicyPairs(type="on_policy_pairs", policy="sft", sources=["better"]),
            Answers(1, 50 * PROMPT, 200 * ANSWER),
        ),
        (
            OnPolicyPairs(type="on_policy_pairs", policy="sft", sources=["better"], num_prompts=10),
            Answers(1, 10 * PROMPT, 40 * ANSWER),
        ),
        (
            OnPolicyLabels(
                type="on_policy_labels", policy="sft", sources=["better"], num_samples=2, sampling={"max_new_tokens": 3}
            ),
            Answers(1, 50 * PROMPT, 100 * 3),
        ),
        (Replay(num_prompts=10, sampling={"max_new_tokens": 96}), Answers(1, 400, 960)),
    ],
)
def test_sampling_reads_a_prompt_once_and_writes_every_answer(sources: Sources, config: Any, expected: Answers) -> None:
    assert asked_of_models(stage(config), sources) == expected


def test_a_base_model_writes_as_much_as_it_may_and_another_teacher_is_not_known(sources: Sources) -> None:
    told = {"prompts": {"type": "curated", "num_prompts": 5}, "num_samples": 2, "sampling": {"max_new_tokens": 64}}
    config = Synthetic.model_validate(told)
    by = {name: {"teacher": Stage("line", name, "sources", "1", config)} for name in (BASE, "larger")}
    found = {name: asked_of_models(Stage("line", "asked", "room", "1", config, by[name]), sources) for name in by}
    assert found == {BASE: Answers(1, 5 * PROMPT, 5 * 2 * 64), "larger": None}


@pytest.mark.parametrize(
    ("tasks", "items"),
    [
        (EvalData(families={"gcd": {}, "chain_sum": {}}, num_items=30), 60),
        (HeldOut(type="held_out", fraction=0.2), 10),
        (HeldOut(type="held_out", fraction=0.2, num_items=4), 4),
        (FileTasks(type="file", path="asked.jsonl"), 1),
    ],
)
def test_every_model_is_asked_every_item_and_the_base_model_twice(sources: Sources, tasks: Any, items: int) -> None:
    config = Evaluation(max_new_tokens=16, perplexity={"max_words": 200})
    evaluation = stage(config, base_model=None, sft_model=None, evaluation=eval_tasks(tasks), curated=None)
    told = asked_of_models(evaluation, sources)
    assert told is not None and told.models == 2
    assert told.read == pytest.approx(3 * items * PROMPT + 2 * (200 * TOKENS_A_WORD + PROBE_TOKENS))
    assert told.written == items * (2 * 16 + ANSWER)


def test_a_stage_that_asks_nothing_has_no_answers(sources: Sources) -> None:
    assert asked_of_models(stage(Curation()), sources) is None
