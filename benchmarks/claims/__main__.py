"""``python -m benchmarks.claims``: run the cells that have not run, and write ``docs/claims.md``.

All cells take several hours on two cores; an interrupted run goes on, on another machine with ``--go-on`` from
``docs/claims.json``. ``--page`` writes the page from what there is.
Two runs at once need seeds of their own, and a thread each: ``OMP_NUM_THREADS=1 python -m benchmarks.claims --seed 0``.
"""

import argparse
import json
import os
from pathlib import Path

from benchmarks.base import DEFAULT_WORK, base_checkpoint
from benchmarks.claims.cells import CELLS, SEEDS, STEPS
from benchmarks.claims.page import page
from benchmarks.claims.run import result_file, run_cell
from benchmarks.claims.verdicts import BySeed
from kt_resources.errors import KtError
from kt_resources.trainers.updates import UPDATES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "claims.md"
FIGURES = PAGE.with_suffix(".json")
"""The figures behind the page, cell by cell and seed by seed."""


def main() -> None:
    """Run what is asked for, one cell after another, the first seed of all cells first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where cells and their figures lie")
    parser.add_argument("--cell", choices=[cell.name for cell in CELLS], action="append", help="only this cell")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append", help="only this seed")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer steps, to try the cells")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    parser.add_argument(
        "--go-on", action="store_true", help=f"take what {FIGURES.name} has as run, and go on from there"
    )
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    work = options.work.resolve() / "claims"
    if options.go_on:
        _take(work)
    if not options.page:
        base = base_checkpoint(options.work.resolve())
        for seed in options.seed or SEEDS:
            for cell in CELLS:
                if options.cell and cell.name not in options.cell:
                    continue
                if cell.update["type"] not in UPDATES:
                    print(f"{cell.name}: there is no update strategy {cell.update['type']} yet", flush=True)
                    continue
                _run(cell.name, seed, work, base, options.steps)
    found = [_found(work, seed) for seed in SEEDS]
    PAGE.write_text(page(found))
    by_cell = {
        cell.name: {seed: found[seed][cell.name] for seed in SEEDS if cell.name in found[seed]} for cell in CELLS
    }
    FIGURES.write_text(json.dumps({name: seeds for name, seeds in by_cell.items() if seeds}, indent=1) + "\n")
    print(f"{PAGE}: {sum(map(len, found))} of {len(CELLS) * len(SEEDS)} cells")


def _take(work: Path) -> None:
    """Lay the page's own figures where cells that ran here would have left theirs."""
    for name, seeds in json.loads(FIGURES.read_text()).items():
        for seed, result in seeds.items():
            file = result_file(work, name, seed)
            if not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(result, indent=2) + "\n")


def _run(name: str, seed: int, work: Path, base: Path, steps: int) -> None:
    """Run one cell; a failure is told and keeps no other from running."""
    cell = next(one for one in CELLS if one.name == name)
    try:
        result = run_cell(cell, seed, work, base, steps)
    except (RuntimeError, KtError) as error:
        print(f"{name}, seed {seed}: failed: {error}", flush=True)
        return
    print(f"{name}, seed {seed}: accuracy {result['accuracy']:.1%}", flush=True)


def _found(work: Path, seed: int) -> BySeed:
    files = {cell.name: result_file(work, cell.name, seed) for cell in CELLS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


if __name__ == "__main__":
    main()
