"""How much of a run was the programs' own work, and how much was spent around it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kt_resources.store.store import Store

IMPORT_LINE = re.compile(r"^import time:\s+\d+ \|\s+(\d+) \| (\S+)$", re.MULTILINE)
"""``PYTHONPROFILEIMPORTTIME``'s line of an import that no other asked for: self | cumulative µs | one space, name."""


@dataclass(frozen=True)
class StageTime:
    """Seconds of a stage: all of it, inside its program, and of that in imports."""

    asset: str
    seconds: float
    own_work: float
    imports: float

    @property
    def around(self) -> float:
        """Seconds that are no work of a program: reading, checking, committing, and its imports."""
        return self.seconds - self.own_work + self.imports


def import_seconds(log: str) -> float:
    """Seconds that a program's log says it spent importing.

    >>> import_seconds("import time:   10 |  2000000 | torch\\nimport time:   10 |  900000 |   torch._C\\n")
    2.0
    """
    return sum(int(found[1]) for found in IMPORT_LINE.finditer(log)) / 1e6


def stage_times(store: Store, line: str) -> list[StageTime]:
    """A row a stage of the line's current artifacts, in the order in which they were made."""
    current = [store.current(asset) for asset in store.assets() if asset.startswith(f"{line}/")]
    made = sorted((artifact for artifact in current if artifact), key=lambda artifact: artifact.manifest.created_at)
    return [
        StageTime(
            artifact.asset.partition("/")[2],
            artifact.manifest.seconds,
            artifact.manifest.own_work_seconds,
            sum(map(import_seconds, _logs(artifact.folder))) if artifact.manifest.own_work_seconds else 0.0,
        )
        for artifact in made
    ]


def _logs(folder: Path) -> list[str]:
    return [file.read_text(errors="replace") for file in sorted(folder.rglob("log.txt"))]


def shares(stages: list[StageTime], wall_s: float, plain: Mapping[str, float]) -> dict[str, Any]:
    """The figures of the page: orchestration is all that is not the programs' own work, their imports included."""
    own = sum(stage.own_work - stage.imports for stage in stages)
    imports = sum(stage.imports for stage in stages)
    in_stages = sum(stage.seconds for stage in stages)
    return {
        "wall_s": wall_s,
        "own_work_s": own,
        "imports_s": imports,
        "around_in_stages_s": in_stages - own - imports,
        "outside_stages_s": wall_s - in_stages,
        "orchestration_share": (wall_s - own) / wall_s,
        "plain_s": sum(plain.values()),
        "ratio": wall_s / sum(plain.values()) if plain else None,
        "stages": [asdict(stage) for stage in stages],
        "plain": dict(plain),
    }
