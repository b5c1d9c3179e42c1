"""A person's own files through the real programs on the random model: SFT, pairs, verified prompts, GGUF, report."""

import json
from typing import Any

import pytest

from kt_resources.store.schemas import prompt_key
from kt_resources.store.store import Artifact, Store
from kt_resources.store.tables import read_rows

RECIPE = """\
line: own
base_model: {random: llama}
verifier: {type: python, path: "rewards.py:score"}
data:
  sources:
    - {name: notes, type: file, path: notes.csv}
    - {name: preferred, type: file, path: preferred.jsonl, purpose: preference}
    - {name: asked, type: file, path: asked.json, purpose: rl}
  curation: {max_tokens: 128}
datasets:
  mix: {type: mix, weights: {notes: 1.0}, max_seq_len: 128}
  my_pairs: {type: pairs, validation_fraction: 0.2}
  prompts: {type: prompts, validation_rows: 4}
training:
  - name: sft
    data: mix
    objective: {type: sft}
    update: {type: full}
    optimization: {learning_rate: 1.0e-2, max_steps: 4, micro_batch_size: 8, num_evals: 1}
  - name: dpo
    start: sft
    data: my_pairs
    objective: {type: dpo}
    update: {type: lora, r: 4}
    optimization: {learning_rate: 5.0e-3, max_steps: 3, micro_batch_size: 4, num_evals: 1}
  - name: grpo
    start: dpo
    data: prompts
    objective: {type: grpo, num_generations: 4, max_completion_length: 8}
    update: {type: lora, r: 4}
    optimization: {learning_rate: 2.0e-3, max_steps: 2, micro_batch_size: 8, num_evals: 1}
quantize: {targets: [{type: gguf, quant: Q8_0}]}
evaluate: {max_new_tokens: 8, perplexity: {max_words: 60}}
"""
SCORER = '''\
def score(completion, row):
    """Half of it for saying anything, the rest for the answer."""
    return 1.0 if row["answer"] and row["answer"] in completion else 0.5 if completion.strip() else 0.0
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, kt_at: Any) -> tuple[Store, dict[str, Any]]:
    """``kt run own`` on files of three kinds, and what it printed."""
    root = tmp_path_factory.mktemp("own")
    folder = root / "recipes" / "own"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "rewards.py").write_text(SCORER)
    notes = "".join(f"Where is shelf {n}?,In aisle {n % 7}\n" for n in range(60))
    (folder / "notes.csv").write_text(f"prompt,completion\n{notes}")
    pairs = [{"prompt": f"Greet {n}", "chosen": f"Hello {n}", "rejected": f"What, {n}"} for n in range(24)]
    (folder / "preferred.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "asked.json").write_text(json.dumps([{"prompt": f"Count to {n}", "answer": n} for n in range(16)]))
    kt = kt_at(root / "home", KT_RECIPES=str(folder.parent))
    return kt.store, kt.json("run", "own")


def current(store: Store, asset: str) -> Artifact:
    found = store.current(f"own/{asset}")
    assert found is not None, asset
    return found


def test_everything_is_made(own: tuple[Store, dict[str, Any]]) -> None:
    store, told = own
    assert told["success"] is True
    assert [check for check in told["failed_checks"] if check["severity"] == "error"] == []
    for stage in told["stages"]:
        assert store.verify(current(store, stage["asset"])) == [], stage


def test_no_held_out_row_is_trained_on(own: tuple[Store, dict[str, Any]]) -> None:
    store, _ = own
    held_out = {prompt_key(row) for row in read_rows(current(store, "eval_tasks").path("items.parquet"))}
    assert len(held_out) == 6  # a tenth of the notes, the one source of purpose train
    for dataset in ("mix", "my_pairs", "prompts"):
        for side in ("train", "validation"):
            rows = read_rows(current(store, dataset).path(f"{side}.parquet"))
            assert rows and not held_out & {prompt_key(row) for row in rows}, (dataset, side)


def test_every_model_answered_the_held_out_rows_and_the_persons_function_scored(
    own: tuple[Store, dict[str, Any]],
) -> None:
    store, _ = own
    answers = read_rows(current(store, "evaluation_report").path("samples.parquet"))
    assert {row["model"] for row in answers} == {"base_model", "sft_model", "dpo_model", "grpo_model", "gguf_model"}
    assert {row["score"] for row in answers} <= {0.0, 0.5, 1.0}
    assert all((row["score"] == 0.0) == (not row["completion"].strip()) for row in answers)


def test_grpo_was_rewarded_by_the_persons_function(own: tuple[Store, dict[str, Any]]) -> None:
    curve = current(own[0], "grpo_model").path("run/curve.jsonl").read_text().splitlines()
    rewards = [point["reward"] for point in map(json.loads, curve) if "reward" in point]
    assert rewards and all(0.0 <= reward <= 1.0 for reward in rewards)


def test_every_file_is_part_of_the_stage(own: tuple[Store, dict[str, Any]]) -> None:
    manifest = current(own[0], "raw_examples").manifest
    assert set(manifest.config["files"]) == {"notes.csv", "preferred.jsonl", "asked.json"}
    assert manifest.facts["rows_by_source"] == {"notes": 60, "preferred": 24, "asked": 16}
