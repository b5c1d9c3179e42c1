"""``python -m benchmarks.seeds``: the default line under several seeds, into ``docs/seeds.md``.

The first is the line itself, in your KT_HOME: what ``kt run`` made there counts. The others have a recipe and a home
each under ``--work``. What is made is kept, and an interrupted run goes on from there.
"""

import argparse
from pathlib import Path

from benchmarks.base import DEFAULT_WORK
from benchmarks.seeds.page import page
from benchmarks.seeds.run import make, seen, variant_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "seeds.md"


def main() -> None:
    """Run every variant, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="where the other seeds are made")
    parser.add_argument("--line", default="arithmetic", help="a line that ships")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--at-once", type=int, default=1, help="how many of the others, each on its share of the cores")
    options = parser.parse_args()
    first, *others = (variant_of(options.line, number, options.work) for number in range(options.seeds))
    make([first], at_once=1)
    make(others, options.at_once)
    PAGE.write_text(page(options.line, [seen(one) for one in (first, *others)], options.line == "arithmetic"))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
