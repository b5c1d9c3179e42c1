"""Where held-out items come from: the recipe's union, its default, and what it refuses."""

from pathlib import Path

import pytest

from kt_resources.errors import RecipeError
from kt_resources.recipes.data import EvalData
from kt_resources.recipes.held_out import FileTasks, HeldOut
from kt_resources.recipes.loading import load_recipe
from kt_resources.recipes.recipe import Recipe

OWN = """\
line: mine
base_model: {random: llama}
verifier: {type: exact}
data:
  sources:
    - {name: notes, type: file, path: notes.jsonl, system: Be brief.}
    - {name: asked, type: jsonl, path: asked.jsonl, purpose: rl}
datasets: {mix: {type: mix, weights: {notes: 1.0}}}
training:
  - {name: sft, data: mix, objective: {type: sft}, update: {type: lora}}
"""


def load(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return load_recipe(path)


def test_a_line_of_files_alone_is_evaluated_on_a_split_of_them(tmp_path: Path) -> None:
    recipe = load(tmp_path, OWN)
    assert recipe.eval_tasks == HeldOut(type="held_out", fraction=0.1, num_items=200)
    assert recipe.held_out_sources == ("notes",)  # the sources of purpose train
    assert recipe.system == "Be brief."


def test_one_generated_source_leaves_the_generated_tasks(tmp_path: Path) -> None:
    generated = "    - {name: sums, type: reasoning_gym, num_rows: 20, seed: 1}\n"
    recipe = load(tmp_path, OWN.replace("datasets:", generated + "datasets:"))
    assert isinstance(recipe.eval_tasks, EvalData)
    assert recipe.held_out_sources == ()


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("{num_items: 8, seed: 5}", EvalData),  # no type: as before there was a choice
        ("{type: file, path: exam.csv, num_items: 8}", FileTasks),
        ("{type: held_out, sources: [asked], fraction: 0.5}", HeldOut),
    ],
)
def test_the_type_says_which_it_is(tmp_path: Path, section: str, kind: type) -> None:
    recipe = load(tmp_path, f"{OWN}eval_tasks: {section}\n")
    assert isinstance(recipe.eval_tasks, kind)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{type: held_out, sources: [note]}", "'note' is no source; there are notes, asked"),
        ("{type: held_out, fractoin: 0.2}", "did you mean 'fraction'"),
        ("{type: file, path: a.csv, fraction: 0.2}", "there are type, path, format"),
        ("{type: fil, path: a.csv}", "did you mean 'file'"),
        ("{type: held_out, fraction: 1.0}", "less than 1"),
    ],
)
def test_mistakes_name_line_and_mend(tmp_path: Path, section: str, told: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(tmp_path, f"{OWN}eval_tasks: {section}\n")
    assert told in str(error.value)
    assert "recipe.yaml:11" in str(error.value)


def test_items_of_a_file_need_no_completion(tmp_path: Path) -> None:
    assert FileTasks(type="file", path="a.csv", system="S").source.purpose == "rl"
