"""``kt plan LINE --suggest``: the rows of a line become the chain that the rules propose, as a recipe has it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kt_assets.definitions import load_lines
from kt_resources.recipes.loading import load_recipe
from kt_resources.recipes.recipe import Recipe


@pytest.fixture
def kt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """``kt("tiny", ...)``: exit code, standard output, standard error of ``kt plan --suggest``."""
    monkeypatch.setenv("KT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        from kt_assets.cli.main import main

        monkeypatch.setattr(sys, "argv", ["kt", "plan", "--suggest", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_the_proposed_steps_go_into_the_lines_own_recipe(kt: Callable[..., tuple[int, str, str]]) -> None:
    """240 and 80 examples, 48 prompts for pairs (few, hence KTO), 48 that a program judges."""
    code, out, _ = kt("tiny", "--goal", "reasoning", "--device", "a100-80gb", "--model", "llama-3.1-8b", "--json")
    assert code == 0
    told = json.loads(out)
    steps = told["steps"]
    assert [(step["name"], step["start"], step["data"]) for step in steps] == [
        ("sft", "base_model", "training_mix"),
        ("kto", "sft", "preference_pairs"),
        ("grpo", "kto", "rl_prompts"),
    ]
    assert all(choice["why"] and choice["source"] for step in steps for choice in step["choices"])
    values = next(line for line in load_lines()[0] if line.name == "tiny").recipe.model_dump(mode="json")
    changed = Recipe.model_validate(values | told["sections"])
    assert told["remains"] == [] and changed.merge is None
    assert [step.objective.type for step in changed.training] == ["sft", "kto", "grpo"]


def test_people_see_each_rule_and_the_section_for_the_recipe(kt: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = kt("tiny", "--device", "a100-80gb", "--model", "llama-3.1-8b")
    assert code == 0 and "rank guide" in out and "training:" in out
    assert "in place of the sections" in out and "no step reads weekday_mix" in out and "to settle" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--goal", "fame"), "'fame' is none of classification"), (("--wish", "luck"), "'luck' is none of quality")],
)
def test_an_unknown_goal_or_wish_lists_those_there_are(
    kt: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], told: str
) -> None:
    code, _, err = kt("tiny", *arguments, "--device", "a100-80gb")
    assert code == 1 and told in err


def test_files_alone_become_a_recipe_that_loads_and_says_why(
    kt: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    rows = [{"instruction": f"How much is {number} plus 2?", "output": str(number + 2)} for number in range(300)]
    pairs = [{"prompt": f"Greet {number}", "chosen": f"Hello, {number}", "rejected": "No"} for number in range(700)]
    files = [tmp_path / "sums.jsonl", tmp_path / "better.jsonl"]
    for file, content in zip(files, (rows, pairs), strict=True):
        file.write_text("".join(f"{json.dumps(row)}\n" for row in content))
    given = [text for file in files for text in ("--file", str(file))]
    code, out, _ = kt("mine", *given, "--device", "a100-80gb", "--to", str(tmp_path / "lines"), "--json")
    assert code == 0
    told = json.loads(out)
    recipe = load_recipe(Path(told["recipe"]))
    assert [step.name for step in recipe.training] == [step["name"] for step in told["steps"]]
    assert recipe.training[0].objective.type == "sft" and len(recipe.training) > 1
    assert all(step.data in recipe.datasets for step in recipe.training)
    text = Path(told["recipe"]).read_text()
    comments = " ".join(line.strip("# ") for line in text.splitlines())
    assert all(any(choice["source"] in comments for choice in step["choices"]) for step in told["steps"])
    code, _, err = kt("mine", *given, "--device", "a100-80gb", "--to", str(tmp_path / "lines"))
    assert code == 1 and "--force" in err


def test_prompts_that_repeat_count_once(kt: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """60 rows of 25 prompts: fewer than the 32 that reinforcement learning asks for; of 35 prompts it is proposed."""
    for prompts, objectives in ((25, ["sft"]), (35, ["sft", "grpo"])):
        file = tmp_path / f"sums_{prompts}.jsonl"
        rows = [{"prompt": f"What is {n % prompts} + 1?", "completion": str(n % prompts + 1)} for n in range(60)]
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        given = ("--file", str(file), "--goal", "reasoning", "--device", "a100-80gb", "--to", str(tmp_path / "lines"))
        code, out, err = kt(*given, "--json")
        assert code == 0, err
        recipe = load_recipe(Path(json.loads(out)["recipe"]))
        assert [step.objective.type for step in recipe.training] == objectives


def long_rows(folder: Path, words: int) -> tuple[str, ...]:
    """40 rows of so many words, and some more."""
    file = folder / "long.jsonl"
    rows = [{"prompt": f"Tell me of thing {n}", "completion": "tree " * words} for n in range(40)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return ("--file", str(file), "--to", str(folder / "lines"), "--json")


def test_long_rows_get_a_limit_that_they_keep(kt: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """SmolLM2 reads 8192 tokens at once: (3000 + 6) · 1.25 + 96 = 3854, the next multiple of 64 is 3904."""
    code, out, err = kt(*long_rows(tmp_path, 3000), "--device", "a100-80gb")
    assert code == 0, err
    told = json.loads(out)
    recipe = load_recipe(Path(told["recipe"]))
    (step,) = recipe.training
    limits = (recipe.data.curation.max_tokens, recipe.datasets["training_mix"].max_seq_len)
    assert limits == (3904, 3904) and step.optimization.max_seq_len == 3904
    assert told["left_out"] == []


def test_what_the_model_cannot_read_at_once_is_told(kt: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, err = kt(*long_rows(tmp_path, 3000), "--device", "a100-80gb", "--base", "random")
    assert code == 0, err
    (told,) = json.loads(out)["left_out"]
    assert "about 40 of the 40 rows have more tokens than data.curation.max_tokens: 2048" in told


def test_no_row_is_longer_than_a_step_has_room_for(
    kt: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """13 B parameters in 4 bits leave 10 GB too little room for 1500 tokens a row."""
    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:1x10")
    code, out, err = kt(*long_rows(tmp_path, 1500), "--model", "llama-2-13b")
    assert code == 0, err
    told = json.loads(out)
    recipe = load_recipe(Path(told["recipe"]))
    room = recipe.training[0].optimization.max_seq_len
    assert room < 1500
    assert recipe.data.curation.max_tokens == recipe.datasets["training_mix"].max_seq_len == room
    assert "40 of the 40 rows" in told["left_out"][0]
