"""``kt init``: what is seen in files, what is chosen for them, and recipes that validate, by the real command."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kt_assets.cli.init.command import base_of
from kt_assets.cli.init.draft import draft_recipe, limit_of
from kt_assets.sources.look import kind_of_answers, look_at
from kt_resources.errors import DataError, RecipeError
from kt_resources.recipes.loading import load_recipe

RANDOM = {"random": "llama"}


def write(path: Path, rows: list[Any]) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def alpaca(count: int, output: Callable[[int], str]) -> list[dict[str, str]]:
    return [{"instruction": f"Read note {n}", "output": output(n)} for n in range(count)]


PAIRS = [{"prompt": f"Greet {n}", "chosen": f"Hello, guest {n}", "rejected": "No"} for n in range(30)]
VOTES = [{"prompt": f"Greet {n}", "completion": "Hello", "label": n % 2 == 0} for n in range(30)]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["12", "1,234.5", "$7"], "numeric"),
        (['{"a": 1}', "[2]"], "json"),
        (["\\frac{1}{2}", "$x^2$"], "math"),
        (["Paris", "Rome"], "short"),
        (["It depends on the weather, on the road and on whom you ask about it."], "text"),
        ([], "none"),
        (["12"] * 18 + ["about twelve"] * 2, "short"),  # a tenth that is no number is too much
    ],
)
def test_answers_are_told_by_what_nearly_all_of_them_are(answers: list[str], kind: str) -> None:
    assert kind_of_answers(answers) == kind


def test_what_is_seen_in_a_file(tmp_path: Path) -> None:
    rows = [*alpaca(20, lambda n: f"It is so. #### {n}"), {"instruction": "No answer"}, "{broken"]
    seen = look_at(write(tmp_path / "My Notes.jsonl", rows))
    assert (seen.kind, seen.num_rows, seen.answers, seen.marker) == ("examples", 20, "numeric", "####")
    assert (seen.num_bad, seen.name) == (2, "my_notes")
    assert seen.answer_tokens == len(["It", "is", "so", ".", *"####", *"19"])
    assert seen.first_bad and seen.first_bad.startswith("My Notes.jsonl:22: this is no JSON")


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (PAIRS, "pairs"),
        (VOTES, "labels"),
        ([{"prompt": f"{n} + 1?", "answer": n + 1} for n in range(30)], "prompts"),
        ([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}], "examples"),
    ],
)
def test_the_kind_of_a_file(tmp_path: Path, rows: list[Any], kind: str) -> None:
    assert look_at(write(tmp_path / "rows.jsonl", rows)).kind == kind


def draft(tmp_path: Path, verifier: dict[str, Any] | None = None, **files: list[Any]) -> Any:
    seen = [look_at(write(tmp_path / f"{name}.jsonl", rows)) for name, rows in files.items()]
    return draft_recipe("mine", seen, RANDOM, verifier, {})


def steps(made: Any) -> list[tuple[str, str, str]]:
    return [(step["name"], step["start"], step["objective"]["type"]) for step in made.steps]


def test_free_text_is_learned_and_not_rewarded(tmp_path: Path) -> None:
    made = draft(tmp_path, notes=alpaca(60, lambda n: f"The pump {n} was found to leak, so it was sent for repair."))
    assert steps(made) == [("sft", "base_model", "sft")]
    assert made.verifier == {"type": "none"}
    assert made.why("no grpo") == "nothing tells a right answer from a wrong one"


def test_a_step_takes_rows_as_long_as_the_mix_may_hold(tmp_path: Path) -> None:
    """A step takes 1024 tokens unless told otherwise."""
    long, short = (
        draft(tmp_path, notes=alpaca(60, lambda n, words=words: f"Note {n} says: " + "the pump was repaired. " * words))
        for words in (250, 2)
    )
    assert long.datasets["training_mix"]["max_seq_len"] == long.steps[0]["optimization"]["max_seq_len"] > 1024
    assert "max_seq_len" not in short.steps[0]["optimization"]


def test_verifiable_answers_are_rewarded_after_they_were_shown(tmp_path: Path) -> None:
    made = draft(tmp_path, sums=alpaca(60, str))
    assert steps(made) == [("sft", "base_model", "sft"), ("grpo", "sft", "grpo")]
    assert made.verifier == {"type": "numeric", "answer_marker": None}
    assert made.datasets["rl_prompts"]["sources"] == ["sums"]


def test_prompts_of_their_own_are_what_is_rewarded(tmp_path: Path) -> None:
    asked = [{"prompt": f"What is {n} + 1?", "answer": n + 1} for n in range(40)]
    made = draft(tmp_path, sums=alpaca(60, str), asked=asked)
    assert made.datasets["rl_prompts"]["sources"] == ["asked"]
    alone = draft(tmp_path, asked=asked)
    assert steps(alone) == [("grpo", "base_model", "grpo")]


def test_pairs_come_after_their_chosen_answers(tmp_path: Path) -> None:
    made = draft(tmp_path, preferred=PAIRS)
    assert steps(made) == [("sft", "base_model", "sft"), ("dpo", "sft", "dpo")]
    assert made.datasets["training_mix"]["weights"] == {"preferred": 30}
    both = draft(
        tmp_path, notes=alpaca(60, lambda n: "A sentence that is too long to be compared with. " * 2), votes=VOTES
    )
    assert steps(both) == [("sft", "base_model", "sft"), ("kto", "sft", "kto")]


def test_what_a_person_says_goes_before_what_is_seen(tmp_path: Path) -> None:
    made = draft(tmp_path, {"type": "none"}, sums=alpaca(60, str))
    assert steps(made) == [("sft", "base_model", "sft")]


def test_a_model_of_the_hub_is_named_with_its_commit(tmp_path: Path) -> None:
    commit = "0123456789" * 4
    assert base_of(f"Owner/Model@{commit}", tmp_path) == {"hub": "Owner/Model", "revision": commit}
    for told in ("Owner/Model", "Owner/Model@main"):
        with pytest.raises(RecipeError, match="Owner/Model@<40 hex digits>"):
            base_of(told, tmp_path)


def test_too_little_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="19 prompts are too few"):
        draft(tmp_path, sums=alpaca(19, str))
    with pytest.raises(RecipeError, match="prompts alone"):
        draft(tmp_path, asked=[{"prompt": f"Why {n}?"} for n in range(40)])


def test_lengths_in_tokens_are_estimated_upwards() -> None:
    # 60 tokens · 1.25 + 48 = 123, the next multiple of 64 is 128
    assert limit_of(60, 48, 64, 2048) == 128
    assert limit_of(100_000, 48, 64, 2048) == 2048


# the command


@pytest.fixture
def kt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """``kt("init", ...)`` in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KT_RECIPES", raising=False)
    monkeypatch.setenv("KT_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        from kt_assets.cli.main import main

        monkeypatch.setattr(sys, "argv", ["kt", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def as_json(kt: Callable[..., Any], *arguments: str) -> Any:
    code, out, err = kt(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_every_kind_of_file_gives_a_recipe_that_validates(kt: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    fields = alpaca(60, lambda n: json.dumps({"part": f"pump {n}", "hall": n % 7}))
    write(tmp_path / "files" / "notes.jsonl", [*fields, {"instruction": "No answer"}])
    write(tmp_path / "files" / "preferred.jsonl", PAIRS)
    write(tmp_path / "files" / "votes.jsonl", VOTES)
    files = [word for name in ("notes", "preferred", "votes") for word in ("-f", f"files/{name}.jsonl")]
    told = as_json(kt, "init", "shop", *files, "--goal", "Reads: notes, to JSON", "--license", "CC0-1.0")
    assert told["steps"] == ["sft", "dpo", "kto", "grpo"]
    assert {one["what"] for one in told["chosen"]} == {"verifier", "sft", "dpo", "kto", "grpo"}
    assert told["next"] == ["kt validate shop", "kt run shop"]
    folder = tmp_path / "recipes" / "shop"
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe.description == "Reads: notes, to JSON"
    assert [source.path for source in recipe.data.sources] == [
        f"../../files/{n}.jsonl" for n in ("notes", "preferred", "votes")
    ]
    assert [source.on_bad_row for source in recipe.data.sources] == ["set_aside", "refuse", "refuse"]
    assert {source.license for source in recipe.data.sources} == {"CC0-1.0"}
    (valid,) = as_json(kt, "validate", "shop")
    assert valid["valid"] is True
    assert {"sft_model", "dpo_model", "kto_model", "grpo_model", "gguf_model"} <= set(valid["assets"])


def test_long_rows_have_room_in_every_step_and_validate_tells_what_a_limit_leaves_out(
    kt: Callable[..., Any], tmp_path: Path
) -> None:
    """(1200 + 4) · 1.25 + 96 = 1601, the next multiple of 64 is 1664; the steps' default has room for 1024 tokens."""
    write(tmp_path / "essays.jsonl", alpaca(60, lambda n: "tree " * 1200))
    told = as_json(kt, "init", "-f", "essays.jsonl", "--base", "random", "--verifier", "none")
    path = tmp_path / "recipes" / "essays" / "recipe.yaml"
    recipe = load_recipe(path)
    assert recipe.data.curation.max_tokens == recipe.training[0].optimization.max_seq_len == 1664
    assert told["left_out"] == []
    path.write_text(path.read_text().replace("max_tokens: 1664", "max_tokens: 800"))
    (valid,) = as_json(kt, "validate", "essays")
    assert valid["left_out"] == [
        "essays: about 60 of the 60 rows have more tokens than data.curation.max_tokens: 800, and are left out"
    ]


def test_the_scorer_that_is_written_counts_fields(kt: Callable[..., Any], tmp_path: Path) -> None:
    from kt_resources.verifiers.python import load_function

    write(tmp_path / "notes.jsonl", alpaca(60, lambda n: json.dumps({"part": "pump", "hall": n})))
    as_json(kt, "init", "-f", "notes.jsonl", "--base", "random")
    score = load_function(str(tmp_path / "recipes" / "notes" / "rewards.py:score"))
    row = {"answer": '{"part": "pump", "hall": 3}'}
    assert score('{"hall": 3, "part": "pump"}', row) == 1.0
    assert score('{"part": "pump", "hall": 4}', row) == 0.5
    assert score('{"part": "pump", "hall": 3, "more": 1}', row) == pytest.approx(2 / 3)
    assert score("pump", row) == 0.0


def test_a_recipe_that_is_there_is_replaced_on_demand_alone_and_the_scorer_never(
    kt: Callable[..., Any], tmp_path: Path
) -> None:
    write(tmp_path / "notes.jsonl", alpaca(60, lambda n: json.dumps({"hall": n})))
    as_json(kt, "init", "-f", "notes.jsonl")
    folder = tmp_path / "recipes" / "notes"
    (folder / "recipe.yaml").write_text("mine: by hand\n")
    (folder / "rewards.py").write_text("def score(completion, row):\n    return 1\n")
    code, _, err = kt("init", "-f", "notes.jsonl")
    assert code == 1 and "--force" in err
    assert (folder / "recipe.yaml").read_text() == "mine: by hand\n"
    as_json(kt, "init", "-f", "notes.jsonl", "--force")
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["line"] == "notes"
    assert (folder / "rewards.py").read_text().endswith("return 1\n")


def test_a_folder_of_recipes_elsewhere_is_named(kt: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path / "sums.jsonl", alpaca(60, str))
    told = as_json(kt, "init", "-f", "sums.jsonl", "--to", "elsewhere", "--base", "random", "--verifier", "numeric")
    assert told["next"][0] == f"export KT_RECIPES={tmp_path / 'elsewhere'}"
    assert load_recipe(tmp_path / "elsewhere" / "sums" / "recipe.yaml").verifier.type == "numeric"


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    write(tmp_path / "sums.jsonl", alpaca(60, str))
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "KT_RECIPES"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kt_assets.cli.main", "init"],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    for answer in ("sums.jsonl", "my_sums", "", "random", "adds"):  # the empty one takes the suggested verifier
        os.write(ours, f"{answer}\n".encode())
    printed = process.communicate(timeout=300)[0]
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, printed
    recipe = load_recipe(tmp_path / "recipes" / "my_sums" / "recipe.yaml")
    assert (recipe.description, recipe.verifier.type, recipe.base_model.random) == ("adds", "numeric", "llama")
    assert "auto: numeric" in printed
