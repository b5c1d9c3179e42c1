"""Make variants of a line, each in a home of its own, and read what they left."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import yaml

from benchmarks.seeds.variant import seeded
from kt_resources.home import HOME_VARIABLE, Home, resolve_root

SHIPPED = Path(__file__).resolve().parents[2] / "kt_assets" / "recipes"


class Variant(NamedTuple):
    """A line under another seed: its name, the home where it is made and the folder of its recipe."""

    name: str
    home: Home
    recipes: Path


def variant_of(line: str, number: int, work: Path) -> Variant:
    """Variant 0 is the line itself in your KT_HOME; the others have a folder each under ``work``."""
    recipe = seeded(yaml.safe_load((SHIPPED / line / "recipe.yaml").read_text()), number)
    name = recipe["line"]
    folder = work.resolve() / "seeds" / name
    file = folder / "recipes" / name / "recipe.yaml"
    if number:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return Variant(name, Home(folder / "home" if number else resolve_root()), folder / "recipes")


def make(variants: Sequence[Variant], at_once: int) -> None:
    """``kt run`` of each; several ``at_once`` (Linux) share the cores, and each writes ``run.log`` in its own folder.

    Raises:
        SystemExit: some failed, after all have ended.
    """
    cores = sorted(os.sched_getaffinity(0)) if at_once > 1 else []
    shares: SimpleQueue[list[int]] = SimpleQueue()
    for start in range(at_once):
        shares.put(cores[start::at_once])

    def make_one(variant: Variant) -> int:
        share = shares.get()
        try:
            if at_once == 1:
                return _run(variant, None)
            os.sched_setaffinity(0, share)  # of this thread, and so of what it starts
            return _run(variant, variant.recipes.parent / "run.log")
        finally:
            shares.put(share)

    with ThreadPoolExecutor(at_once) as pool:
        codes = list(pool.map(make_one, variants))
    if failed := [variant.name for variant, code in zip(variants, codes, strict=True) if code]:
        raise SystemExit(f"kt run failed: {', '.join(failed)}; the same command goes on from there")


def _run(variant: Variant, log: Path | None) -> int:
    command = [str(Path(sys.executable).with_name("kt")), "run", variant.name]
    environment = os.environ | {HOME_VARIABLE: str(variant.home.root), "KT_RECIPES": str(variant.recipes)}
    if log is None:
        return subprocess.run(command, env=environment, check=False).returncode
    print(f"{variant.name}: {log}", flush=True)
    with log.open("a") as out:
        return subprocess.run(command, env=environment, stdout=out, stderr=out, check=False).returncode


def seen(variant: Variant) -> dict[str, Any]:
    """What the variant left (:data:`benchmarks.seeds.aims.Seen`).

    Raises:
        SystemExit: it left no report.
    """
    from kt_assets.plan.times import stage_seconds
    from kt_resources.evaluators.results import read_results
    from kt_resources.store.store import Store

    store, prefix = Store(variant.home.store), f"{variant.name}/"
    found = {asset.removeprefix(prefix): store.current(asset) for asset in store.assets() if asset.startswith(prefix)}
    made = {name: artifact for name, artifact in found.items() if artifact}
    if "evaluation_report" not in made:
        raise SystemExit(f"{variant.name} left no report")
    in_order = sorted(((name, one.manifest) for name, one in made.items()), key=lambda item: item[1].created_at)
    return {
        "results": read_results(made["evaluation_report"].folder),
        "facts": {name: manifest.facts for name, manifest in in_order},
        "seconds": {name: stage_seconds(made[name]).total for name, _ in in_order},
    }
