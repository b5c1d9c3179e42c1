"""Every mistake of a person's: the message names the place and the mend, and nothing is a stack trace.

``KT_WRITE_DOCS=1 pytest tests/bad_input`` writes the messages to ``docs/errors.md``; without it that page is checked.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kt_resources.store.store import Artifact, Store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

RECIPES: dict[str, tuple[str, str, str, str]] = {
    "an unknown key": ("line: mine\n", "line: mine\nverifer: {type: exact}\n", ":2:", "did you mean 'verifier'"),
    "an unknown key of an objective": ("{type: dpo}", "{type: dpo, betta: 0.2}", ":13:", "did you mean 'beta'"),
    "an unknown key of an update": (
        "update: {type: lora}}\n  - ",
        "update: {type: lora, rank: 8}}\n  - ",
        ":12:",
        "r,",
    ),
    "a word where a number belongs": ("num_rows: 20", "num_rows: many", ":7:", "valid integer"),
    "a number out of bounds": ("num_rows: 20", "num_rows: 0", ":7:", "greater than or equal to 1"),
    "a number where a name belongs": ("line: mine", "line: 7", ":1:", "valid string"),
    "a missing section": ("base_model: {random: llama}\n", "", ":1:", "is required"),
    "an unknown objective": ("{type: dpo}", "{type: dppo}", ":13:", "did you mean 'dpo'"),
    "an unknown update": ("update: {type: lora}}\n  - ", "update: {type: lorra}}\n  - ", ":12:", "did you mean 'lora'"),
    "an unknown verifier": ("{type: exact}", "{type: exactly}", ":3:", "did you mean 'exact'"),
    "an objective on rows that it does not learn from": (
        "data: pairs, objective: {type: dpo}",
        "data: mix, objective: {type: dpo}",
        ":13:",
        "learns from preference_pairs",
    ),
    "labels where pairs are needed": (
        "type: on_policy_pairs",
        "type: on_policy_labels",
        ":13:",
        "which of two is better",
    ),
    "kto one row at a time": (
        "objective: {type: dpo}",
        "objective: {type: kto}, optimization: {micro_batch_size: 1}",
        ":13:",
        "micro_batch_size of 2 or more",
    ),
    "a step that starts from a reward model": (
        "{type: dpo}, update: {type: lora}}\n",
        "{type: reward_model}, update: {type: lora}}\n"
        "  - {name: next, start: dpo, data: mix, objective: {type: sft}, update: {type: lora}}\n",
        ":14:",
        "nothing can start from it",
    ),
    "a step that starts from no step": ("start: sft, data", "start: stf, data", ":13:", "no earlier step"),
    "a dataset that is not there": ("name: sft, data: mix", "name: sft, data: mixx", ":12:", "is no dataset"),
    "a source that is not there": ("{questions: 1.0}", "{question: 1.0}", ":9:", "is no source"),
    "pairs of a policy that is no step": ("policy: sft", "policy: rl", ":10:", "no step"),
    "one completion a prompt": ("policy: sft}", "policy: sft, num_samples: 1}", ":10:", "makes no pair"),
    "two steps of one name": ("name: dpo", "name: sft", ":13:", "two steps have this name"),
    "training rows with the evaluation's seed": ("seed: 2}", "seed: 1000}", ":1:", "another seed"),
    "a merge of one model": (
        "training:",
        "merge: {method: ties, inputs: [sft]}\ntraining:",
        ":11:",
        "at least 2 items",
    ),
    "a merge of a model that is not there": (
        "training:",
        "merge: {method: ties, inputs: [sft, rl]}\ntraining:",
        ":11:",
        "'rl' is no step",
    ),
    "an unknown quantization": (
        "training:",
        "quantize: {targets: [{quant: Q9_Z}]}\ntraining:",
        ":11:",
        "Q4_K_M",
    ),
    "a gate on a model that is not there": (
        "training:",
        "evaluate: {gates: [{name: g, model: rl, min: 0}]}\ntraining:",
        ":11:",
        "no model of the line",
    ),
    "a gate on worked examples that are not asked after": (
        "training:",
        "evaluate: {few_shot: {num_examples: 0}, gates: [{name: g, baseline: few_shot_base, min_gain: 0}]}\ntraining:",
        ":11:",
        "'few_shot_base' is no model",
    ),
    "a gate on a metric that is none": (
        "training:",
        "evaluate: {gates: [{name: g, metric: acuracy, min: 0}]}\ntraining:",
        ":11:",
        "no such metric; there are accuracy",
    ),
    "a gate on a metric that is switched off": (
        "training:",
        "evaluate: {general_ability: false, gates: [{name: g, metric: general_ability, min: 0.9}]}\ntraining:",
        ":11:",
        "evaluate.general_ability switches it off",
    ),
    "a gate on a ratio of what is no perplexity": (
        "training:",
        "evaluate: {gates: [{name: g, baseline: sft, max_ratio: 1.1}]}\ntraining:",
        ":11:",
        "max_ratio is for a perplexity",
    ),
    "a mix of replayed rows that nobody makes": ("{questions: 1.0}", "{replay: 1.0}", ":9:", "there is no data.replay"),
    "rows held out of a source that is not there": (
        "training:",
        "eval_tasks: {type: held_out, sources: [question]}\ntraining:",
        ":11:",
        "there are questions, asked",
    ),
    "a file of evaluation items that is not there": (
        "training:",
        "eval_tasks: {type: file, path: exam.csv}\ntraining:",
        "exam.csv",
        "recipe's folder",
    ),
    "pairs of a person's own where no file has any": (
        "policy: sft}\n",
        "policy: sft}\n  mine: {type: pairs}\n",
        ":11:",
        "no file of purpose preference",
    ),
    "pairs of a person's own from rows that are generated": (
        "policy: sft}\n",
        "policy: sft}\n  mine: {type: pairs, sources: [asked]}\n",
        ":11:",
        "'asked' is no file of purpose preference",
    ),
    "a cron expression of four fields": ("training:", 'retrain: {cron: "0 3 * *"}\ntraining:', ":11:", "five fields"),
    "a time that is none": ("training:", 'retrain: {cron: "99 99 * * 1"}\ntraining:', ":11:", "minute hour day month"),
    "a timezone that there is not": (
        "training:",
        'retrain: {cron: "0 3 * * 1", timezone: Mars/City}\ntraining:',
        ":11:",
        "Europe/Berlin",
    ),
    "a step called as another asset": ("name: dpo", "name: gguf", ":13:", "call the step otherwise"),
    "a dataset called as another asset": ("  pairs: {", "  raw_examples: {", ":10:", "call the dataset otherwise"),
    "a name where names are wanted": (
        "update: {type: lora}}\n  - ",
        "update: {type: lora, target_modules: q_proj}}\n  - ",
        ":12:",
        "a list is wanted",
    ),
    "a teacher that is not there": (
        "training:",
        "teachers: {big: {folder: nowhere}}\ntraining:",
        "teachers.big",
        "config.json",
    ),
    "a hub model without its commit": ("{random: llama}", "{hub: a/b, revision: main}", ":2:", "revision"),
    "a base model folder that is none": ("{random: llama}", "{folder: nowhere}", "base_model.folder", "config.json"),
    "a GGUF file that is not there": ("{random: llama}", "{gguf: a.gguf}", "base_model.gguf", "correct the path"),
    "a base model without a chat template": (
        "{random: llama}",
        "{folder: untaught}",
        "untaught",
        "chat_template.jinja",
    ),
    "a GGUF file that is none": ("{random: llama}", "{gguf: rows.jsonl}", "rows.jsonl", "get the file again"),
    "a package that is not installed": (
        "{random: llama}",
        "{package: no_such_model, file: a.gguf, license: MIT}",
        "base_model.package",
        "pip install no-such-model",
    ),
    "a file of rows that is not there": ("path: rows.jsonl", "path: row.jsonl", "row.jsonl", "recipe's folder"),
    "a family of tasks that there is not": (
        "seed: 2}",
        "seed: 2, families: {chain_sums: {}}}",
        "chain_sums",
        "chain_sum",
    ),
    "a verifier file that is not there": (
        "{type: exact}",
        '{type: python, path: "rewards.py:score"}',
        "rewards.py:score",
        "recipe's folder",
    ),
    "a function that is not there, in a part of the verifier": (
        "{type: exact}",
        "{type: weighted, parts: [{verifier: {type: exact}}, {verifier: {type: python, path: 'form.py:score'}}]}",
        "form.py:score",
        "recipe's folder",
    ),
    "a verifier path without a function": (
        "{type: exact}",
        "{type: python, path: rewards.py}",
        ":3:",
        "rewards.py:score",
    ),
    "a step that starts from a soft prompt": (
        "update: {type: lora}}\n  - ",
        "update: {type: prompt_tuning}}\n  - ",
        ":13:",
        "leaves an adapter only",
    ),
    "a GGUF of a soft prompt": (
        "objective: {type: dpo}, update: {type: lora}}",
        "objective: {type: dpo}, update: {type: prefix_tuning}}\nquantize: {input: dpo}",
        ":14:",
        "cannot be merged",
    ),
    "ranks that cannot fall": (
        "update: {type: lora}}\n  - ",
        "update: {type: adalora, target_r: 12}}\n  - ",
        ":12:",
        "not below init_r",
    ),
    "a strategy that needs whole matrices, under sharding": (
        "update: {type: lora}}\n  - ",
        "update: {type: galore}, resources: {sharding: fsdp}}\n  - ",
        ":12:",
        "needs whole matrices",
    ),
    "a recipe that is no YAML": ("training:", "training: [", ":12", "not YAML"),
}
"""What was done → old text, new text, the place and the mend that the message must name."""

GOOD = {"prompt": "What is the capital?", "completion": "#### town"}
FILES: dict[str, tuple[bytes, str, str]] = {
    "an empty file": (b"", "rows.jsonl", "one JSON object a line"),
    "a file cut off in the middle of a row": (
        json.dumps(GOOD).encode() + b'\n{"prompt": "What is',
        "rows.jsonl:2",
        "cut off",
    ),
    "a file that is not UTF-8": (
        b'{"prompt": "caf\xe9", "completion": "a"}\n',
        "rows.jsonl:1",
        "iconv",
    ),
    "a file of two formats": (
        json.dumps(GOOD).encode() + b'\n{"instruction": "a", "output": "b"}\n',
        "rows.jsonl:2",
        "one format a file",
    ),
    "a file with columns of no known format": (b'{"q": "a", "a": "b"}\n', "rows.jsonl:1", "instruction, input, output"),
    "a row without an answer": (b'{"prompt": "What is the capital?"}\n', "rows.jsonl:1", "'completion'"),
    "an answer that is a number": (b'{"prompt": "1 + 1?", "completion": 2}\n', "rows.jsonl:1", "is text"),
    "a row that is a list": (b'["a", "b"]\n', "rows.jsonl:1", "JSON object"),
    "a row that is labelled wrong, to learn from": (
        b'{"prompt": "What is the capital?", "completion": "town", "label": false}\n',
        "rows.jsonl:1",
        "purpose: preference",
    ),
    "a preferred answer that is no chat and no text": (
        b'{"prompt": "What is the capital?", "chosen": 7, "rejected": "town"}\n',
        "rows.jsonl:1",
        "list of messages",
    ),
    "a chat of an unknown role": (
        b'{"messages": [{"role": "bot", "content": "hi"}]}\n',
        "rows.jsonl:1",
        "system, user, assistant",
    ),
    "a chat whose message has no text": (
        b'{"messages": [{"role": "user", "text": "hi"}]}\n',
        "rows.jsonl:1",
        "no text 'content'",
    ),
}
"""What the person's file holds → its bytes, the place and the mend."""

ROOT = Path(__file__).resolve().parents[2]
FEW = "".join(json.dumps({"prompt": f"Land {n}?", "completion": f"#### town {n}"}) + "\n" for n in range(8))
QUESTIONS = "".join(json.dumps({"prompt": f"What is {n} times {n}?"}) + "\n" for n in range(40))
INIT: dict[str, tuple[list[str], str, str, str]] = {
    "a beginning without a file": (["new"], FEW, "--file", "kt init --file rows.jsonl"),
    "a beginning with too few rows": (["new", "-f", "rows.jsonl"], FEW, "rows", "at least 20"),
    "a beginning with prompts alone": (["new", "-f", "rows.jsonl"], QUESTIONS, "rows", "--verifier rewards.py:score"),
    "a beginning where there is a recipe": (["mine", "-f", "rows.jsonl"], FEW, "recipe.yaml", "--force"),
    "a beginning with a name of a line that ships": (["tiny", "-f", "rows.jsonl"], FEW, "tiny", "another name"),
    "a beginning with a name that is none": (["My-Line", "-f", "rows.jsonl"], FEW, "LINE", "small letters"),
    "a beginning with a verifier that there is not": (
        ["new", "-f", "rows.jsonl", "--verifier", "right"],
        FEW,
        "--verifier",
        "one of exact",
    ),
    "a beginning with a base model that is not there": (
        ["new", "-f", "rows.jsonl", "--base", "nowhere"],
        QUESTIONS.replace('"}', '", "completion": "#### 1"}'),
        "base_model.folder",
        "config.json",
    ),
}
"""What was done → the arguments of ``kt init``, what the file holds, the place and the mend."""

SCORERS: dict[str, tuple[str, str]] = {
    "a verifier that raises": ("raise KeyError('total')", "raised KeyError"),
    "a verifier that hangs": ("import time; time.sleep(60)", "timed out"),
    "a verifier that returns NaN": ("return float('nan')", "not between 0 and 1"),
    "a verifier that returns text": ("return 'right'", "no number but str"),
}
TOLD: dict[str, str] = {}


def untaught_model(folder: Path) -> None:
    """A base model that was never taught to chat: no template beside its weights."""
    from kt_resources.trainers.tiny import make_tiny_model

    make_tiny_model(folder)
    (folder / "chat_template.jinja").unlink()


def told(name: str, printed: str) -> str:
    """The message in one line without this machine's folders, kept for the page."""
    line = re.sub(r"\s+", " ", printed).strip().replace(str(ROOT), "…")
    TOLD[name] = re.sub(r"\S*/nowhere", "…/nowhere", line)
    assert "Traceback" not in printed
    return TOLD[name]


@pytest.mark.parametrize("mistake", RECIPES)
def test_a_mistake_in_the_recipe(mistake: str, mine: Path, kt: Callable[..., tuple[int, str]]) -> None:
    old, new, place, mend = RECIPES[mistake]
    if "untaught" in new:
        untaught_model(mine / "untaught")
    recipe = mine / "recipe.yaml"
    assert recipe.read_text().count(old) >= 1
    recipe.write_text(recipe.read_text().replace(old, new, 1))
    code, printed = kt("validate", "mine")
    message = told(mistake, printed)
    assert code == 1
    assert place in message
    assert mend in message


@pytest.mark.parametrize("mistake", FILES)
def test_a_mistake_in_a_file_of_rows(mistake: str, mine: Path, kt: Callable[..., tuple[int, str]]) -> None:
    content, place, mend = FILES[mistake]
    (mine / "rows.jsonl").write_bytes(content)
    code, printed = kt("validate", "mine")
    message = told(mistake, printed)
    assert code == 1
    assert place in message
    assert mend in message


class Running:
    """The line ``mine`` run by real processes, after its raw rows were made: what a mistake later must not harm."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home, self.store = folder, home, Store(home / "store")
        self.environment = {**os.environ, "KT_HOME": str(home), "KT_RECIPES": str(folder.parent), "COLUMNS": "10000"}
        (folder / "exam.jsonl").write_text(FEW)
        self.change("training:", "eval_tasks: {type: file, path: exam.jsonl}\ntraining:")
        code, printed = self("raw_examples")
        assert code == 0, printed
        self.before = self.raw()

    def change(self, old: str, new: str) -> None:
        recipe = self.folder / "recipe.yaml"
        assert old in recipe.read_text()
        recipe.write_text(recipe.read_text().replace(old, new, 1))

    def raw(self) -> Artifact:
        found = self.store.current("mine/raw_examples")
        assert found is not None
        assert self.store.verify(found) == []
        return found

    def start(self, select: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kt_assets.cli.main", "run", "mine", "--select", select]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, env=self.environment, text=True, **pipes)

    def __call__(self, select: str) -> tuple[int, str]:
        """The exit code and what was printed, before the table of what is made."""
        process = self.start(select)
        printed = process.communicate(timeout=600)[0].replace(str(self.home.parent), "…")
        return process.returncode, printed

    def fails(self, name: str, select: str) -> str:
        """The message of a run that must fail and leave what was made as it was."""
        code, printed = self(select)
        assert code == 1, printed
        assert self.raw().data_version == self.before.data_version
        message = told(name, "✗" + printed.rpartition("✗")[2].split("\nasset ")[0] if "✗" in printed else printed)
        assert "Traceback" not in printed
        return message


@pytest.fixture
def running(mine: Path, tmp_path: Path) -> Running:
    return Running(mine, tmp_path / "home")


@pytest.mark.parametrize("mistake", SCORERS)
def test_a_verifier_of_a_persons_own_that_fails(mistake: str, running: Running) -> None:
    body, wrong = SCORERS[mistake]
    (running.folder / "rewards.py").write_text(f"def score(completion, row):\n    {body}\n")
    running.change("{type: exact}", '{type: python, path: "rewards.py:score", timeout_s: 0.2}')
    message = running.fails(mistake, "eval_tasks")
    assert wrong in message
    assert "rewards.py:score" in message and "exam.jsonl:1" in message


def test_a_file_that_became_mixed(running: Running) -> None:
    with (running.folder / "rows.jsonl").open("a") as file:
        file.write('{"instruction": "a", "output": "b"}\n')
    assert "rows.jsonl:9" in running.fails("a run on a file that became mixed", "raw_examples")


def test_a_run_from_a_base_model_without_a_chat_template(running: Running) -> None:
    untaught_model(running.folder / "untaught")
    running.change("{random: llama}", "{folder: untaught}")
    assert "chat_template.jinja" in running.fails("a run from a base model without a chat template", "base_model")


def test_two_runs_of_a_line_at_once(running: Running) -> None:
    first = running.start("base_model")
    lock = running.home / "runs" / "mine.lock"
    deadline = time.monotonic() + 300
    while not (lock.exists() and lock.read_text() == str(first.pid)):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    with (running.folder / "rows.jsonl").open("a") as file:
        file.write(FEW.replace("Land", "Country"))
    message = running.fails("a second run of a line at once", "raw_examples").replace(str(first.pid), "7")
    TOLD["a second run of a line at once"] = message[message.index("[store]") :]
    assert "process 7 is running this line already" in message
    printed = first.communicate(timeout=600)[0]
    assert first.returncode == 0, printed  # the first is not disturbed
    assert running.store.current("mine/base_model") is not None
    assert running("raw_examples")[0] == 0  # and afterwards the way is free
    assert running.raw().data_version != running.before.data_version


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a full disk: only where a small one can be mounted")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, mine: Path) -> None:
    running = Running(mine, small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 100_000))
    questions = (json.dumps({"prompt": f"Question {n * 7919}?", "completion": f"{n}"}) for n in range(20_000))
    (mine / "rows.jsonl").write_text("\n".join(questions))
    message = re.sub(r"full \([\d.]+ MB", "full (0.1 MB", running.fails("a full disk", "raw_examples"))
    message = re.sub(r"^.*?…/home\S*: the disk", "[store] …/home: the disk", message)
    TOLD["a full disk"] = message
    assert "the disk is full" in message and "KT_HOME" in message
    ballast.unlink()
    assert running("raw_examples")[0] == 0
    assert running.raw().manifest.facts["num_rows"] > 20_000


def test_prompts_without_an_answer_to_compare_with(mine: Path, kt: Callable[..., tuple[int, str]]) -> None:
    generated = "type: reasoning_gym, purpose: preference, num_rows: 20, seed: 2"
    recipe = (mine / "recipe.yaml").read_text()
    (mine / "recipe.yaml").write_text(recipe.replace(generated, "type: file, path: asked.csv, purpose: preference"))
    (mine / "asked.csv").write_text("prompt,answer\nWhat is 2 + 2?,4\nWhat is 3 + 3?,\n")
    code, printed = kt("validate", "mine")
    message = told("a prompt without an answer that the verifier compares with", printed)
    assert code == 1
    assert "asked.csv:3" in message
    assert "give it 'answer'" in message


def test_a_training_that_cannot_fit(mine: Path, kt: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    recipe = (mine / "recipe.yaml").read_text()
    too_much = "update: {type: lora}, optimization: {micro_batch_size: 1000000000}}\n  - "
    (mine / "recipe.yaml").write_text(recipe.replace("update: {type: lora}}\n  - ", too_much, 1))
    code, printed = kt("run", "mine", "--select", "sft_model")
    message = told("a training that cannot fit", printed)
    assert code == 1
    assert "mine/sft_model: needs" in message and "GB at its peak" in message and "these fit: update: " in message
    assert not (tmp_path / "home" / "store" / "makings").exists()  # refused before anything is queued
    # the page is the same on every machine
    message = re.sub(r"; .*? has ", "; the device has ", message[message.index("[compute]") :])
    message = re.sub(r"these fit: .*", "these fit: update: …, optimization: {micro_batch_size: …, …}", message)
    TOLD["a training that cannot fit"] = re.sub(r"\d[\d.]*", "…", message)


def test_a_line_that_is_right_is_not_refused(kt: Callable[..., tuple[int, str]]) -> None:
    code, printed = kt("validate", "mine")
    assert code == 0, printed


def test_a_line_that_is_not_there(kt: Callable[..., tuple[int, str]]) -> None:
    code, printed = kt("run", "nobody")
    assert code == 1
    assert "there are: " in told("a line that is not there", printed)


def test_an_asset_that_is_not_there(kt: Callable[..., tuple[int, str]]) -> None:
    code, printed = kt("run", "mine", "--select", "sft")
    assert code == 1
    assert "sft_model" in told("an asset that is not there", printed)


def test_a_home_that_is_not_dagsters(
    kt: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "elsewhere"))
    code, printed = kt("run", "mine")
    assert code == 1
    assert "unset DAGSTER_HOME" in told("another DAGSTER_HOME than the store's", printed)


@pytest.mark.parametrize("mistake", sorted(INIT))
def test_a_mistake_at_the_beginning(mistake: str, mine: Path, kt: Callable[..., tuple[int, str]]) -> None:
    arguments, content, place, mend = INIT[mistake]
    (mine / "rows.jsonl").write_text(content)
    before = {path: path.read_bytes() for path in sorted(mine.parent.rglob("*")) if path.is_file()}
    code, printed = kt("init", *(str(mine / one) if one.endswith(".jsonl") else one for one in arguments))
    message = told(mistake, printed)
    assert code == 1
    assert place in message
    assert mend in message
    assert {path: path.read_bytes() for path in sorted(mine.parent.rglob("*")) if path.is_file()} == before


def test_the_page_of_errors_is_true() -> None:
    if len(TOLD) < len(RECIPES) + len(FILES) + len(SCORERS) + len(INIT) + 9:
        pytest.skip("the page is compared where all of this folder's tests run in one process")
    lines = [f"| {name} | {message.replace('|', chr(92) + '|')} |" for name, message in TOLD.items()]
    table = "\n".join(["| what was done | what is said |", "|---|---|", *lines, ""])
    if os.environ.get("KT_WRITE_DOCS"):
        head = PAGE.read_text().split("| what was done")[0]
        PAGE.write_text(head + table)
    assert PAGE.read_text().endswith(table)
