import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from kt_resources.compute.devices import Device, fake_devices
from kt_resources.compute.environment import command, environment, leave_out, threads_each, visible_devices
from kt_resources.compute.leases import Lease
from kt_resources.compute.needs import Needs

FILE = Path("spec.json")


def leased(description: str) -> Lease:
    return Lease(fake_devices(description), "bf16", [])


def test_one_device_runs_python_and_two_run_accelerate() -> None:
    assert command("m", FILE, Needs(), leased("cuda:1x80")) == [sys.executable, "-m", "m", "--spec", "spec.json"]
    two = command("m", FILE, Needs(devices=2), leased("cuda:2x80"))
    assert two[1:3] == ["-m", "accelerate.commands.launch"] and two[-4:] == ["-m", "m", "--spec", "spec.json"]


def test_cuda_devices_are_named_by_uuid_where_they_have_one() -> None:
    device = Device(kind="cuda", index=3, name="x", memory_gb=80, uuid="GPU-abc")
    assert visible_devices([device])["CUDA_VISIBLE_DEVICES"] == "GPU-abc"
    assert visible_devices(fake_devices("cuda:2x80"))["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_an_inherited_visibility_of_another_kind_is_dropped() -> None:
    made = environment({"HIP_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "0,1"}, Needs(), leased("rocm:1x64"))
    assert made["ROCR_VISIBLE_DEVICES"] == "0" and "HIP_VISIBLE_DEVICES" not in made


@pytest.mark.parametrize(
    ("base", "online", "expected"),
    [({}, False, "1"), ({}, True, "0"), ({"HF_HUB_OFFLINE": "0"}, False, "0"), ({"HF_HUB_OFFLINE": "1"}, True, "1")],
)
def test_the_hub_is_off_unless_the_recipe_or_the_person_wants_it(base, online, expected) -> None:
    assert environment(base, Needs(), leased("cuda:1x80"), online)["HF_HUB_OFFLINE"] == expected


def test_telemetry_is_off_and_a_persons_own_choice_wins() -> None:
    made = environment({"WANDB_MODE": "online"}, Needs(), leased("cuda:1x80"))
    assert made["HF_HUB_DISABLE_TELEMETRY"] == "1" and made["GX_ANALYTICS_ENABLED"] == "false"
    assert made["WANDB_MODE"] == "online"


def test_the_c_library_keeps_no_scraps_unless_the_person_tunes_it() -> None:
    assert "tcache_count=0" in environment({}, Needs(kind="cpu"), leased("cpu:1x16"))["GLIBC_TUNABLES"]
    tuned = environment({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, Needs(kind="cpu"), leased("cpu:1x16"))
    assert tuned["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=1"


def test_processes_share_the_cores() -> None:
    alone = threads_each(Needs())
    assert threads_each(Needs(devices=2)) == max(1, alone // 2)
    assert threads_each(Needs(devices=10_000)) == 1
    assert environment({"OMP_NUM_THREADS": "3"}, Needs(), leased("cuda:1x80"))["OMP_NUM_THREADS"] == "3"


def test_cpu_processes_tell_accelerate_so() -> None:
    assert environment({}, Needs(kind="cpu"), leased("cpu:1x16"))["ACCELERATE_USE_CPU"] == "true"
    assert "ACCELERATE_USE_CPU" not in environment({}, Needs(), leased("cuda:1x16"))


def test_a_module_left_out_counts_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert find_spec("this") is not None
    leave_out("this")
    assert find_spec("this") is None
    with pytest.raises(ImportError):
        __import__("this")
    del sys.modules["this"]
