"""A step that leaves an adapter only: whatever would read a model of it is refused, or absent, with the reason."""

from pathlib import Path
from typing import Any

import pytest

from kt_resources.errors import RecipeError
from kt_resources.recipes.loading import load_recipe

RECIPE = """\
line: mine
base_model: {random: llama}
verifier: {type: reasoning_gym}
data:
  sources:
    - {name: train, type: reasoning_gym, num_rows: 20, seed: 1}
    - {name: asked, type: reasoning_gym, purpose: preference, num_rows: 20, seed: 2}
datasets:
  mix: {type: mix, weights: {train: 1.0}}
  pairs: {type: on_policy_pairs, policy: sft}
training:
  - {name: sft, data: mix, objective: {type: sft}, update: {type: lora}}
  - {name: soft, data: mix, objective: {type: sft}, update: {type: prompt_tuning}}
  - {name: last, start: sft, data: pairs, objective: {type: dpo}, update: {type: lora}}
"""
WORDS = "'soft' leaves an adapter only: prompt_tuning cannot be merged"


def _load(folder: Path, old: str = "", new: str = "") -> Any:
    assert old in RECIPE
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace(old, new))
    return load_recipe(path)


def test_beside_others_it_is_fine(tmp_path: Path) -> None:
    recipe = _load(tmp_path)
    assert recipe.shipped == "last_model"
    assert recipe.adapter_only("sft") is None and recipe.adapter_only("soft").startswith(WORDS)


def test_a_gguf_is_weighed_over_every_mix_behind_it_and_no_other(tmp_path: Path) -> None:
    second = "  mix: {type: mix, weights: {train: 1.0}}\n  other: {type: mix, weights: {train: 1.0}}\n"
    step = "  - {name: branch, start: sft, data: other, objective: {type: sft}, update: {type: lora}}\n"
    one = RECIPE.replace("  mix: {type: mix, weights: {train: 1.0}}\n", second).replace(
        "  - {name: last", f"{step}  - {{name: last"
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(one)
    assert load_recipe(path).mixes_behind_shipped == ("mix",)
    path.write_text(one + "merge: {method: linear, inputs: [last, branch]}\n")
    assert load_recipe(path).mixes_behind_shipped == ("mix", "other")


DPO, DISTILLED = "data: pairs, objective: {type: dpo}", "data: mix, objective: {type: distillation, teacher: soft}"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("start: sft", "start: soft", "training.2.start"),
        ("policy: sft", "policy: soft", "datasets.pairs.policy"),
        ("training:", "merge: {method: linear, inputs: [sft, soft]}\ntraining:", "merge.inputs"),
        ("training:", "quantize: {input: soft}\ntraining:", "quantize.input"),
        (DPO, DISTILLED, "objective.teacher"),
    ],
)
def test_what_would_read_its_model_is_refused(tmp_path: Path, old: str, new: str, place: str) -> None:
    with pytest.raises(RecipeError) as caught:
        _load(tmp_path, old, new)
    told = " ".join(str(caught.value).split())
    assert WORDS in told and place in told


def test_a_line_of_it_alone_ships_no_gguf_and_says_why(tmp_path: Path) -> None:
    from kt_assets.line import build_line
    from kt_resources.contracts.contract import load_contracts

    recipe = _load(tmp_path, RECIPE[RECIPE.index("  - {name: last") :], "")
    line = build_line(recipe, load_contracts(), tmp_path)
    assert line.absent["gguf_model"].startswith(WORDS)
    assert "soft_model" in line.stages["evaluation_report"].parents


def test_asking_for_a_gguf_of_it_is_refused(tmp_path: Path) -> None:
    last = RECIPE[RECIPE.index("  - {name: last") :]
    with pytest.raises(RecipeError, match=WORDS):
        _load(tmp_path, last, "quantize: {targets: [{quant: Q8_0}]}\n")


def test_sharding_is_refused_where_whole_matrices_are_needed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="galore needs whole matrices on every device"):
        _load(tmp_path, "type: prompt_tuning}", "type: galore}, resources: {sharding: fsdp}")
