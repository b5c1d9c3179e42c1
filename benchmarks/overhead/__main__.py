"""``python -m benchmarks.overhead``: a line through the pipeline, then the same stages as a plain script.

Writes ``<work>/overhead/result.json`` and ``docs/overhead.md``. The line is a short one (about seven minutes in all on
two idle cores); ``--full`` takes the default line.
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
    """Run both, one after the other, in fresh folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where the run and its results lie")
    parser.add_argument("--full", action="store_true", help="the default line instead of the short one")
    options = parser.parse_args()
    folder, line = options.work.resolve() / "overhead", "arithmetic" if options.full else "short"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result = measure(line, folder)
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    text = page(result)
    PAGE.write_text(text)
    print(text)


def measure(line: str, folder: Path) -> dict[str, Any]:
    """Seconds of ``kt run`` and of the plain script, and what lies around the programs' own work."""
    from kt_resources.store.store import Store

    home, plain = folder / "home", folder / "plain"
    common = os.environ | {"KT_HOME": str(home), "KT_RECIPES": str(RECIPES), "HF_HUB_OFFLINE": "1"}
    kt = Path(sys.executable).with_name("kt")
    started = time.monotonic()
    profiled = common | {"PYTHONPROFILEIMPORTTIME": "1"}
    _run([str(kt), "run", line, "--json"], profiled, folder / "pipeline.txt")
    wall_s = time.monotonic() - started
    script = [sys.executable, "-m", "benchmarks.overhead.plain", "--line", line]
    started = time.monotonic()
    _run([*script, "--home", str(home), "--out", str(plain)], common, folder / "plain.txt")
    plain_s = time.monotonic() - started
    seconds = json.loads((plain / "seconds.json").read_text())
    seconds["start and end"] = plain_s - sum(seconds.values())
    told = shares(stage_times(Store(home / "store"), line), wall_s, seconds)
    return told | {"line": line, "machine": machine(), "date": time.strftime("%Y-%m-%d")}


def _run(command: list[str], environment: dict[str, str], log: Path) -> None:
    with log.open("w") as output:
        ended = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{log.read_text()[-3000:]}")


if __name__ == "__main__":
    main()
