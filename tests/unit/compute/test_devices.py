from pathlib import Path
from types import SimpleNamespace

import pytest

from kt_resources.compute.devices import (
    Device,
    cgroup_limits,
    cuda_devices,
    fake_devices,
    find_devices,
    rocm_devices,
    visible,
)
from kt_resources.errors import ComputeError


class NoDriver(Exception):
    pass


def nvml(sizes_gb: list[int], driver: bool = True) -> SimpleNamespace:
    """What pynvml offers, for devices of these sizes."""

    def init() -> None:
        if not driver:
            raise NoDriver

    return SimpleNamespace(
        NVMLError=NoDriver,
        nvmlInit=init,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(sizes_gb),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: b"NVIDIA A100",
        nvmlDeviceGetUUID=lambda index: f"GPU-{index}abc",
        nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=int(sizes_gb[index] * 1e9)),
        nvmlDeviceGetCudaComputeCapability=lambda index: (8, 0),
    )


def test_eight_faked_devices_and_the_cpu() -> None:
    found = find_devices({"KT_FAKE_DEVICES": "cuda:8x80"})
    assert [device.id for device in found] == [f"cuda:{index}" for index in range(8)] + ["cpu:0"]
    assert {device.memory_gb for device in found[:8]} == {80}


def test_a_wrong_description_is_refused_by_name() -> None:
    with pytest.raises(ComputeError, match=r"KT_FAKE_DEVICES.*'tpu:4'"):
        fake_devices("cuda:1x80,tpu:4")


def test_the_real_machine_has_a_cpu_with_memory() -> None:
    cpu = find_devices({})[-1]
    assert cpu.kind == "cpu" and cpu.memory_gb > 0.5


def test_nvml_devices_are_found_with_memory_and_capability() -> None:
    first, second = cuda_devices({}, nvml([80, 40]))
    assert (first.name, first.memory_gb, first.compute_capability) == ("NVIDIA A100", 80, (8, 0))
    assert (second.index, second.memory_gb, second.visible_as) == (1, 40, "GPU-1abc")


def test_no_driver_means_no_device() -> None:
    assert cuda_devices({}, nvml([80], driver=False)) == []


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("", []),
        ("-1", []),
        ("1,9,0", [1]),  # as CUDA does: what follows an unknown entry is hidden
        ("GPU-2abc", [2]),
        ("GPU-", []),  # three devices begin so: it names none
    ],
)
def test_an_inherited_visibility_is_honoured(allowed, expected) -> None:
    environment = {} if allowed is None else {"CUDA_VISIBLE_DEVICES": allowed}
    assert [device.index for device in cuda_devices(environment, nvml([80, 80, 80]))] == expected


def card(folder: Path, number: int, gigabytes: int, name: str = "") -> None:
    device = folder / f"card{number}" / "device"
    device.mkdir(parents=True)
    (device / "mem_info_vram_total").write_text(str(gigabytes * 10**9))
    if name:
        (device / "product_name").write_text(name + "\n")


def test_amd_cards_are_found_in_the_order_of_their_numbers(tmp_path) -> None:
    for number, size in ((10, 64), (2, 192)):
        card(tmp_path, number, size, "Instinct MI300X" if size == 192 else "")
    found = rocm_devices({}, tmp_path)
    assert [(device.index, device.name, device.memory_gb) for device in found] == [
        (0, "Instinct MI300X", 192),
        (1, "AMD GPU", 64),
    ]


def test_hip_indices_count_among_what_rocr_lets_through(tmp_path) -> None:
    for number in range(4):
        card(tmp_path, number, 16 + number)
    found = rocm_devices({"ROCR_VISIBLE_DEVICES": "1,3", "HIP_VISIBLE_DEVICES": "1"}, tmp_path)
    assert [device.index for device in found] == [3]


def test_a_uuid_prefix_must_name_one_device() -> None:
    devices = [Device(kind="cuda", index=i, name="x", memory_gb=1, uuid=u) for i, u in enumerate(["GPU-aa", "GPU-ab"])]
    assert [device.index for device in visible(devices, "GPU-ab")] == [1]
    assert visible(devices, "GPU-a") == []


def test_limits_of_the_group_and_its_parents_count(tmp_path) -> None:
    (tmp_path / "fs" / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "fs" / "outer" / "memory.max").write_text("4000000000\n")
    (tmp_path / "fs" / "outer" / "inner" / "memory.max").write_text("max\n")
    (tmp_path / "membership").write_text("0::/outer/inner\n")
    assert list(cgroup_limits(tmp_path / "fs", tmp_path / "membership")) == [4 * 10**9]


def test_version_one_groups_are_read_too(tmp_path) -> None:
    (tmp_path / "fs" / "memory" / "box").mkdir(parents=True)
    (tmp_path / "fs" / "memory" / "box" / "memory.limit_in_bytes").write_text("2000000000")
    (tmp_path / "membership").write_text("4:memory:/box\n0::/\n")
    assert list(cgroup_limits(tmp_path / "fs", tmp_path / "membership")) == [2 * 10**9]
