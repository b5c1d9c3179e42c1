"""``python -m benchmarks.overhead``: a line through the pipeline, then the same stages as a plain script.

Writes ``<work>/overhead/<line>.json`` and ``docs/overhead.md``. The line is a short one (about six minutes in all on
two idle cores); ``--full`` runs the default line besides (about 20 minutes), without a plain script of it: the script
answers one prompt after another and would take more than an hour. Where your KT_HOME does not hold the default line
yet, that run makes it there, for ``kt report`` and ``make seeds`` to find. What an earlier run measured is kept.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.base import DEFAULT_WORK
from benchmarks.overhead.page import page
from benchmarks.overhead.shares import shares, stage_times
from benchmarks.trainers.figures import machine

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "overhead.md"
RECIPES = Path(__file__).with_name("recipes")


def main() -> None:
    """Run both, one after the other; what an earlier run measured to its end stands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where the run and its results lie")
    parser.add_argument("--full", action="store_true", help="the default line besides the short one")
    parser.add_argument("--again", action="store_true", help="forget what an earlier run measured")
    options = parser.parse_args()
    folder = options.work.resolve() / "overhead"
    if options.again:
        shutil.rmtree(folder, ignore_errors=True)
    results = [_measured("short", folder, folder / "short" / "home", with_script=True)]
    if options.full:
        results.append(_measured("arithmetic", folder, empty_home("arithmetic", folder), with_script=False))
    PAGE.write_text(page(results))
    print(PAGE.read_text())


def empty_home(line: str, folder: Path) -> Path:
    """The person's KT_HOME, or one of the benchmark's own where that holds the line already, or half of it.

    Half a line, of a benchmark that was cut short, cannot be measured: ``kt run`` makes the rest.
    """
    from kt_resources.home import Home, resolve_root
    from kt_resources.store.store import Store

    own = Home(resolve_root())
    made = any(asset.startswith(f"{line}/") for asset in Store(own.store).assets())
    return folder / line / "home" if made else own.root


def _measured(line: str, folder: Path, home: Path, *, with_script: bool) -> dict[str, Any]:
    """What was measured of the line: as an earlier run kept it, or now."""
    kept = folder / f"{line}.json"
    if not kept.is_file():
        shutil.rmtree(folder / line, ignore_errors=True)
        (folder / line).mkdir(parents=True)
        kept.write_text(json.dumps(measure(line, folder / line, home, with_script=with_script), indent=2) + "\n")
    return json.loads(kept.read_text())


def measure(line: str, folder: Path, home: Path, *, with_script: bool) -> dict[str, Any]:
    """Seconds of ``kt run`` and of the plain script, and what lies around the programs' own work."""
    from kt_resources.store.store import Store

    common = os.environ | {"KT_HOME": str(home), "KT_RECIPES": str(RECIPES), "HF_HUB_OFFLINE": "1"}
    kt = Path(sys.executable).with_name("kt")
    started = time.monotonic()
    profiled = common | {"PYTHONPROFILEIMPORTTIME": "1"}
    _run([str(kt), "run", line, "--json"], profiled, folder / "pipeline.txt")
    wall_s = time.monotonic() - started
    seconds = _script_seconds(line, home, folder / "plain", common) if with_script else {}
    told = shares(stage_times(Store(home / "store"), line), wall_s, seconds)
    return told | {"line": line, "machine": machine(), "date": time.strftime("%Y-%m-%d")}


def _script_seconds(line: str, home: Path, out: Path, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of the plain script's stages, on the rows that the pipeline left under ``home``."""
    script = [sys.executable, "-m", "benchmarks.overhead.plain", "--line", line]
    started = time.monotonic()
    _run([*script, "--home", str(home), "--out", str(out)], environment, out.with_suffix(".txt"))
    plain_s = time.monotonic() - started
    seconds = json.loads((out / "seconds.json").read_text())
    return seconds | {"start and end": plain_s - sum(seconds.values())}


def _run(command: list[str], environment: dict[str, str], log: Path) -> None:
    with log.open("w") as output:
        ended = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{log.read_text()[-3000:]}")


if __name__ == "__main__":
    main()
