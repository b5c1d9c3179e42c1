"""``python -m benchmarks.matrix``: try every cell, and write ``docs/matrix.md``. An interrupted run goes on.

``--page`` writes the page of what was tried so far.
"""

import argparse
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from benchmarks.matrix.cell import Outcome, prepare, try_cell
from benchmarks.matrix.table import page
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.updates import UPDATES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix.md"


def main() -> int:
    """Exit code 1 where a cell neither learned nor was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".kt/matrix"), help="where cells and their outcomes lie")
    parser.add_argument("--objective", choices=OBJECTIVES, help="only this row")
    parser.add_argument("--update", choices=UPDATES, help="only this column")
    parser.add_argument("--page", action="store_true", help="try nothing, write the page")
    parser.add_argument("--again", action="store_true", help="forget the outcomes there are")
    options = parser.parse_args()
    if options.again:
        shutil.rmtree(options.work, ignore_errors=True)
    if options.page:
        return _write(_tried(options.work))
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(1)  # two threads on a model this small only wait for each other
    prepared = options.work.resolve() / "prepared"
    if not prepared.exists():
        prepare(prepared)
    outcomes = [
        _outcome(objective, update, options.work.resolve())
        for objective in ([options.objective] if options.objective else OBJECTIVES)
        for update in ([options.update] if options.update else UPDATES)
    ]
    whole = not options.objective and not options.update
    return _write(outcomes) if whole else _code(outcomes)


def _tried(work: Path) -> list[Outcome]:
    """The outcomes that there are, in the axes' order."""
    files = [work / objective / update / "outcome.json" for objective in OBJECTIVES for update in UPDATES]
    return [Outcome(**json.loads(file.read_text())) for file in files if file.is_file()]


def _write(outcomes: list[Outcome]) -> int:
    PAGE.write_text(page(outcomes, list(OBJECTIVES), list(UPDATES)))
    print(f"{PAGE}: {len(outcomes)} of {len(OBJECTIVES) * len(UPDATES)} cells")
    return _code(outcomes)


def _code(outcomes: list[Outcome]) -> int:
    return int(any(outcome.status not in ("learned", "refused") for outcome in outcomes))


def _outcome(objective: str, update: str, work: Path) -> Outcome:
    """The cell's outcome: as it was found before, or tried now."""
    folder = work / objective / update
    kept = folder / "outcome.json"
    if kept.is_file():
        return Outcome(**json.loads(kept.read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    outcome = try_cell(objective, update, work / "prepared", folder)
    print(f"{objective} × {update}: {outcome.status} {outcome.reason} ({outcome.seconds:.1f} s)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(outcome)))
    return outcome


if __name__ == "__main__":
    raise SystemExit(main())
