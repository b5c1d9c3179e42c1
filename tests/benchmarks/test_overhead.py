"""The overhead benchmark: what is counted as orchestration."""

from pathlib import Path

import pytest

from benchmarks.overhead.__main__ import RECIPES, empty_home
from benchmarks.overhead.page import page
from benchmarks.overhead.shares import StageTime, import_seconds, shares
from kt_resources.recipes.loading import load_recipe

LOG = """import time: self [us] | cumulative | imported package
import time:       100 |       400000 |   torch._C
import time:       100 |      1500000 | torch
some line of the program
import time:       100 |       500000 | trl
"""

MACHINE = {"cpu": "a CPU", "cores": 2, "load_15_min": 0.5}
STAGES = [StageTime("mix", 2.0, 0.0, 0.0), StageTime("sft_model", 60.0, 55.0, 5.0)]


def test_imports_are_those_that_no_other_import_asked_for() -> None:
    assert import_seconds(LOG) == 2.0  # torch with what it brings 1.5 s, trl 0.5 s


def test_orchestration_is_all_but_the_programs_own_work() -> None:
    told = shares(STAGES, wall_s=100.0, plain={"sft_model": 40.0})
    assert told["own_work_s"] == 50.0  # 55 s in the program, 5 of them imports
    assert told["around_in_stages_s"] == 7.0  # 62 s of stages less 50 and 5
    assert told["outside_stages_s"] == 38.0
    assert told["orchestration_share"] == 0.5
    assert told["ratio"] == 2.5


def test_the_page_sets_each_stage_beside_the_scripts() -> None:
    told = shares(STAGES, 100.0, {"imports": 8.0, "sft_model": 40.0})
    text = page([told | {"line": "short", "machine": MACHINE, "date": "2026-01-01"}])
    assert "| sft_model | 60.0 | 50.0 | 5.0 | 5.0 | 40.0 |" in text
    assert "| (imports) | | | | | 8.0 |" in text
    assert "**50 s, 50.0%**" in text and "2.08 times" in text


def test_a_line_without_a_script_has_no_ratio() -> None:
    common = {"machine": MACHINE, "date": "2026-01-01"}
    with_script = shares(STAGES, 100.0, {"sft_model": 40.0}) | {"line": "short"} | common
    alone = shares(STAGES, 1000.0, {}) | {"line": "arithmetic"} | common
    text = page([with_script, alone])
    section = text[text.index("## The line `arithmetic` taken apart") :]
    assert "| sft_model | 60.0 | 50.0 | 5.0 | 5.0 |\n" in section
    assert "**950 s, 95.0%**" in section and "times" not in section
    assert "make bench-overhead BENCH_ARGS=--full" in text


def test_a_line_is_measured_where_it_has_not_been_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, bench = tmp_path / "own", tmp_path / "bench"
    monkeypatch.setenv("KT_HOME", str(own))
    assert empty_home("arithmetic", bench) == own and not own.exists()
    for line, home in {"short": own, "arithmetic": bench / "arithmetic" / "home"}.items():
        manifest = own / "store" / "artifacts" / line / "base_model" / "0123" / "manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.touch()
        assert empty_home("arithmetic", bench) == home


def test_the_short_line_is_a_recipe() -> None:
    recipe = load_recipe(RECIPES / "short" / "recipe.yaml")
    assert recipe.line == "short" and recipe.merge is not None
