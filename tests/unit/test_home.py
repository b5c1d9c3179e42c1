from pathlib import Path

import pytest
import yaml

from kt_resources.errors import ComputeError
from kt_resources.home import DAGSTER_YAML, dagster_instance, ensure_home, pool_limit, resolve_root

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch) -> None:
    for name in ("KT_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:8x80")


def test_the_default_is_a_folder_here(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_root() == tmp_path / ".kt"
    assert resolve_root(environment={"KT_HOME": "/data/kt"}) == Path("/data/kt")
    assert resolve_root(Path("given"), {"KT_HOME": "/data/kt"}) == tmp_path / "given"


def test_first_start_makes_the_folders_and_tells_dagster(tmp_path) -> None:
    import os

    home = ensure_home(tmp_path / "home")
    assert home.store.is_dir() and home.leases.is_dir()
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "home" / "dagster")
    assert yaml.safe_load((home.dagster_home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}


def test_a_persons_dagster_yaml_is_kept(tmp_path) -> None:
    home = ensure_home(tmp_path)
    (home.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    ensure_home(tmp_path)
    assert (home.dagster_home / "dagster.yaml").read_text() == "telemetry: {enabled: true}\n"


def test_another_dagster_home_is_refused_with_the_mend(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(ComputeError, match=r"DAGSTER_HOME is .*elsewhere") as caught:
        ensure_home(tmp_path / "home")
    assert "unset DAGSTER_HOME" in caught.value.mend and not (tmp_path / "home").exists()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    ensure_home(tmp_path / "home")


def test_the_instance_takes_its_settings_and_the_pool_its_limit(tmp_path, monkeypatch) -> None:
    with dagster_instance(ensure_home(tmp_path)) as instance:
        assert instance.run_monitoring_enabled and not instance.telemetry_enabled
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
        assert limits["gpu"] == 8
        instance.event_log_storage.set_concurrency_slots("gpu", 3)
    monkeypatch.setenv("KT_FAKE_DEVICES", "cuda:4x80")
    with dagster_instance(ensure_home(tmp_path)) as instance:  # set once: what the person changed stays
        assert [limit.limit for limit in instance.event_log_storage.get_pool_limits() if limit.name == "gpu"] == [3]


def test_a_machine_without_gpus_has_one_slot() -> None:
    assert (pool_limit(0), pool_limit(1), pool_limit(8)) == (1, 1, 8)


def test_plain_dagster_dev_has_the_same_settings_and_the_same_history() -> None:
    ours, sample = yaml.safe_load(DAGSTER_YAML), yaml.safe_load((ROOT / "dagster.yaml").read_text())
    assert {name: sample[name] for name in ours} == ours
    assert sample["storage"]["sqlite"]["base_dir"] == ".kt/dagster"


def test_dagster_reads_the_sample_and_finds_the_history_of_kt(tmp_path, monkeypatch) -> None:
    import dagster as dg
    from dagster._core.instance import InstanceRef

    @dg.asset
    def nothing() -> None: ...

    monkeypatch.chdir(tmp_path)
    with dagster_instance(ensure_home()) as instance:
        run_id = dg.materialize([nothing], instance=instance).run_id
    (tmp_path / "temporary").mkdir()
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path / "temporary"), config_dir=str(ROOT))) as plain:
        assert plain.get_run_by_id(run_id) is not None
