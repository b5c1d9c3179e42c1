"""``python -m benchmarks.seeds``: the default line under several seeds, into ``docs/seeds.md``.

The first is the line itself, in your KT_HOME: what ``kt run`` made there counts. The others are lines beside it, whose
recipes lie under ``--work``. What is made is kept, and an interrupted run goes on from there.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.base import DEFAULT_WORK
from benchmarks.seeds.page import page
from benchmarks.seeds.variant import seeded

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "seeds.md"
SHIPPED = ROOT / "kt_assets" / "recipes"


def main() -> None:
    """Run every variant, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where the other seeds' recipes lie")
    parser.add_argument("--line", default="arithmetic", help="a line that ships")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    options = parser.parse_args()
    recipes = options.work.resolve() / "seeds" / "recipes"
    seeds = [run(options.line, variant, recipes) for variant in range(options.seeds)]
    PAGE.write_text(page(options.line, seeds, with_aims=options.line == "arithmetic"))
    print(PAGE.read_text())


def run(line: str, variant: int, recipes: Path) -> dict:
    """What one variant left, which is made where it is not (see :data:`benchmarks.seeds.aims.Seen`)."""
    from kt_assets.plan.times import stage_seconds
    from kt_resources.evaluators.results import read_results
    from kt_resources.home import HOME_VARIABLE, Home, resolve_root
    from kt_resources.store.store import Store

    recipe = seeded(yaml.safe_load((SHIPPED / line / "recipe.yaml").read_text()), variant)
    if variant:
        file = recipes / recipe["line"] / "recipe.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    home = Home(resolve_root())
    environment = os.environ | {HOME_VARIABLE: str(home.root), "KT_RECIPES": str(recipes)}
    subprocess.run([str(Path(sys.executable).with_name("kt")), "run", recipe["line"]], env=environment, check=True)
    store, prefix = Store(home.store), f"{recipe['line']}/"
    found = {asset.removeprefix(prefix): store.current(asset) for asset in store.assets() if asset.startswith(prefix)}
    made = {name: artifact for name, artifact in found.items() if artifact}
    if "evaluation_report" not in made:
        raise SystemExit(f"{recipe['line']} left no report")
    in_order = sorted(((name, one.manifest) for name, one in made.items()), key=lambda item: item[1].created_at)
    return {
        "results": read_results(made["evaluation_report"].folder),
        "facts": {name: manifest.facts for name, manifest in in_order},
        "seconds": {name: stage_seconds(made[name]).total for name, _ in in_order},
    }


if __name__ == "__main__":
    main()
