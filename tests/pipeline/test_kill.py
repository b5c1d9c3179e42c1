"""SIGKILL in the middle of SFT and of GRPO: the next run goes on from the checkpoint, and the store stays whole."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from kt_assets.definitions import recipe_folders
from kt_resources.store.store import Store

STAGES = "base_model,raw_examples,eval_tasks,curated_examples,training_mix,sft_model,rl_prompts,grpo_model"


def write_recipe(folder: Path) -> None:
    """The ``tiny`` line cut down to SFT and GRPO, with steps enough to be killed in the middle."""
    tiny = next(path for shipped in recipe_folders() for path in shipped.glob("tiny/recipe.yaml"))
    recipe = yaml.safe_load(tiny.read_text())
    sft, _, grpo, _ = recipe["training"]
    sft["optimization"] = {"learning_rate": 1e-2, "max_steps": 60, "checkpoint_steps": 5, "num_evals": 1}
    grpo["optimization"] |= {"max_steps": 12, "checkpoint_steps": 2, "num_evals": 1}
    recipe |= {"line": "killed", "training": [sft, grpo | {"start": "sft"}]}
    recipe["data"]["synthetic"] = None
    mix = {"type": "mix", "weights": {"divisors": 1.0}, "max_seq_len": 256}
    recipe["datasets"] = {"training_mix": mix, "rl_prompts": recipe["datasets"]["rl_prompts"]}
    del recipe["merge"], recipe["retrain"]
    (folder / "killed").mkdir(parents=True)
    (folder / "killed" / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def steps_of(folder: Path, message: str) -> list[float]:
    """The steps that a program under way has reported."""
    found = []
    for file in folder.glob("*/out/run/progress.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
        found += [row["done"] for row in rows if row["message"].startswith(message)]
    return found


def kill_in_the_middle(kt: Any, arguments: tuple[str, ...], work: Path, message: str, after: int) -> None:
    """Start ``kt``, SIGKILL it once the step has made ``after`` optimizer steps, and see that nothing outlives it."""
    process = kt.popen(*arguments)
    ends = time.monotonic() + 900
    while max(steps_of(work, message), default=0) < after:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends, "it never came so far"
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, kt_at: Any) -> None:
    write_recipe(tmp_path / "recipes")
    kt = kt_at(tmp_path / "home", KT_RECIPES=str(tmp_path / "recipes"))
    arguments = ("run", "killed", "--select", STAGES)
    store = Store(tmp_path / "home" / "store")
    work = store.root / "work" / "killed"

    kill_in_the_middle(kt, arguments, work / "sft_model", "sft", after=20)
    assert store.current("killed/sft_model") is None
    kill_in_the_middle(kt, arguments, work / "grpo_model", "grpo", after=6)
    assert store.current("killed/grpo_model") is None
    told = kt.json(*arguments)

    assert told["success"] is True
    for asset, message, least in (("sft_model", "sft", 15), ("grpo_model", "grpo", 4)):
        artifact = store.current(f"killed/{asset}")
        assert artifact is not None and store.verify(artifact) == []
        rows = [json.loads(line) for line in artifact.path("run/progress.jsonl").read_text().splitlines()]
        first = next(row["done"] for row in rows if row["message"].startswith(message) and row["done"] > 0)
        assert first > least, f"{asset} began again at step {first}"
    assert kt.json("doctor")["damaged"] == {}
    shutil.rmtree(tmp_path / "home")
