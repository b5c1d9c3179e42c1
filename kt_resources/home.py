"""KT_HOME: the one folder that holds what this machine knows.

``dagster/`` is DAGSTER_HOME (history of runs, schedules), ``store/`` the artifacts, ``leases/`` the lock file of each
device. Default: ``.kt`` in the working directory.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kt_resources.errors import ComputeError

if TYPE_CHECKING:
    from dagster import DagsterInstance

HOME_VARIABLE = "KT_HOME"
DAGSTER_VARIABLE = "DAGSTER_HOME"
POOL = "gpu"

DAGSTER_YAML = """\
# Written at first start; yours to edit. Every option: https://docs.dagster.io/deployment/oss/dagster-yaml

telemetry:
  enabled: false

# A run whose worker was killed is marked failed, and its pool slots are free again about ten seconds later.
run_monitoring:
  enabled: true
  poll_interval_seconds: 5
  free_slots_after_run_end_seconds: 5

# Runs queue; stages wait for a slot of their pool. The limit of the pool `gpu` is set at first start to the number of
# devices (`dagster instance concurrency set gpu N` changes it); a pool without a limit of its own has this one.
concurrency:
  pools:
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 10
"""


@dataclass(frozen=True)
class Home:
    """The folders under KT_HOME, all absolute."""

    root: Path

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def leases(self) -> Path:
        return leases_dir(self.root)


def leases_dir(root: Path) -> Path:
    """Where the lock files of the devices are."""
    return root / "leases"


def resolve_root(given: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """KT_HOME as an absolute path: ``given``, else the environment's, else ``.kt``. Creates nothing."""
    environment = os.environ if environment is None else environment
    return Path(given or environment.get(HOME_VARIABLE) or ".kt").expanduser().resolve()


def ensure_home(given: Path | None = None) -> Home:
    """KT_HOME with its folders and ``dagster.yaml``, created where they are missing; sets both variables.

    Afterwards this process and those it starts have ``KT_HOME`` and ``DAGSTER_HOME``.

    Raises:
        ComputeError: ``DAGSTER_HOME`` points elsewhere, so runs and artifacts would be told apart.
    """
    home = Home(resolve_root(given))
    told = os.environ.get(DAGSTER_VARIABLE)
    if told and Path(told).expanduser().resolve() != home.dagster_home:
        raise ComputeError(
            f"DAGSTER_HOME is {told}, but KT_HOME keeps its history in {home.dagster_home}",
            where=DAGSTER_VARIABLE,
            mend=f"unset DAGSTER_HOME, or set KT_HOME to the folder whose dagster/ it is (now {home.root})",
        )
    for folder in (home.dagster_home, home.store, home.leases):
        folder.mkdir(parents=True, exist_ok=True)
    config = home.dagster_home / "dagster.yaml"
    if not config.exists():
        config.write_text(DAGSTER_YAML)
    os.environ[HOME_VARIABLE], os.environ[DAGSTER_VARIABLE] = str(home.root), str(home.dagster_home)
    return home


def dagster_instance(home: Home) -> "DagsterInstance":
    """The Dagster instance of ``home``, a context manager; gives the pool ``gpu`` its limit where it has none."""
    from dagster import DagsterInstance

    from kt_resources.compute.devices import find_devices

    instance = DagsterInstance.from_config(str(home.dagster_home))
    storage = instance.event_log_storage
    known = {limit.name for limit in storage.get_pool_limits() if not limit.from_default}
    if POOL not in known:
        storage.set_concurrency_slots(POOL, pool_limit(len([d for d in find_devices() if d.kind != "cpu"])))
    return instance


def pool_limit(num_gpus: int) -> int:
    """Steps that may hold or wait for a device at once: one a GPU, or one where there is only the CPU."""
    return max(1, num_gpus)
