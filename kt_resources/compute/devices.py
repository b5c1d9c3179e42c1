"""The devices of this machine: CUDA through NVML, ROCm through sysfs, MPS, and the CPU. Imports no torch.

``KT_FAKE_DEVICES=cuda:8x80,cpu:1x64`` (kind : count x GB each) stands in for the real ones, for tests and for planning
on a machine without them; a kind that it does not name is absent, except the CPU.
"""

import contextlib
import importlib
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_resources.compute.needs import DeviceKind
from kt_resources.errors import ComputeError
from kt_resources.strict import Strict

FAKE_VARIABLE = "KT_FAKE_DEVICES"
GB = 1e9


class Device(Strict):
    """One device. ``index`` is the machine's own (NVML order); ``memory_gb`` in units of 10^9 bytes."""

    kind: DeviceKind
    index: int
    name: str
    memory_gb: float
    uuid: str = ""
    compute_capability: tuple[int, int] = (0, 0)

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.index}"

    @property
    def visible_as(self) -> str:
        """What stands for it in ``CUDA_VISIBLE_DEVICES``: the UUID, which no ordering changes, else the index."""
        return self.uuid or str(self.index)


def find_devices(environment: Mapping[str, str] | None = None) -> list[Device]:
    """All devices that this process may use, GPUs first, the CPU last; never empty."""
    environment = os.environ if environment is None else environment
    fake = environment.get(FAKE_VARIABLE, "")
    found = fake_devices(fake) if fake else [*cuda_devices(environment), *rocm_devices(environment), *mps_devices()]
    return found if any(device.kind == "cpu" for device in found) else [*found, cpu_device()]


def fake_devices(description: str) -> list[Device]:
    """Devices as ``KT_FAKE_DEVICES`` describes them; faked CUDA devices have compute capability 9.0."""
    found: list[Device] = []
    for part in description.split(","):
        match = re.fullmatch(r"(cuda|rocm|mps|cpu):(\d+)x(\d+(?:\.\d+)?)", part.strip())
        if match is None:
            raise ComputeError(f"{part.strip()!r} describes no device", where=FAKE_VARIABLE, mend="write cuda:8x80")
        kind, count, memory = match[1], int(match[2]), float(match[3])
        capability = (9, 0) if kind == "cuda" else (0, 0)
        found += [
            Device(kind=kind, index=index, name=f"faked {kind}", memory_gb=memory, compute_capability=capability)
            for index in range(count)
        ]
    return found


def visible(devices: Sequence[Device], allowed: str | None) -> list[Device]:
    """``devices`` as an inherited ``*_VISIBLE_DEVICES`` value lets them through, in its order.

    Entries are indices or (beginnings of) UUIDs. As in CUDA, the first entry that names nothing ends the list.
    """
    if allowed is None:
        return list(devices)
    chosen: list[Device] = []
    for entry in (part.strip() for part in allowed.split(",")):
        match = [d for d in devices if entry == str(d.index) or (not entry.isdigit() and entry and _has_uuid(d, entry))]
        if len(match) != 1:
            break
        chosen += match
    return chosen


def _has_uuid(device: Device, entry: str) -> bool:
    return bool(device.uuid) and device.uuid.startswith(entry)


def cuda_devices(environment: Mapping[str, str], nvml: Any = None) -> list[Device]:
    """CUDA devices that NVML reports and ``CUDA_VISIBLE_DEVICES`` allows; none without NVML or a driver."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        found = [_cuda_device(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    finally:
        nvml.nvmlShutdown()
    return visible(found, environment.get("CUDA_VISIBLE_DEVICES"))


def _cuda_device(nvml: Any, index: int) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name, uuid = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetUUID(handle)
    return Device(
        kind="cuda",
        index=index,
        name=name.decode() if isinstance(name, bytes) else name,
        memory_gb=round(nvml.nvmlDeviceGetMemoryInfo(handle).total / GB, 1),
        uuid=uuid.decode() if isinstance(uuid, bytes) else uuid,
        compute_capability=tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )


def rocm_devices(environment: Mapping[str, str], drm: Path = Path("/sys/class/drm")) -> list[Device]:
    """AMD devices that the amdgpu driver shows under ``drm`` and ``ROCR_``/``HIP_VISIBLE_DEVICES`` allow."""
    cards = sorted(drm.glob("card*/device/mem_info_vram_total"), key=lambda file: _card_number(file.parts[-3]))
    found = []
    for index, file in enumerate(cards):
        product = file.parent / "product_name"
        name = product.read_text().strip() if product.exists() else ""
        memory = round(int(file.read_text()) / GB, 1)
        found.append(Device(kind="rocm", index=index, name=name or "AMD GPU", memory_gb=memory))
    found = visible(found, environment.get("ROCR_VISIBLE_DEVICES"))
    allowed = environment.get("HIP_VISIBLE_DEVICES")
    if allowed is None:
        return found
    positions = [device.model_copy(update={"index": position}) for position, device in enumerate(found)]
    return [found[device.index] for device in visible(positions, allowed)]


def _card_number(name: str) -> int:
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits else 0


def mps_devices() -> list[Device]:
    """Apple's GPU, which shares the memory of the machine; none elsewhere."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        size = subprocess.run(["sysctl", "-n", "hw.memsize"], capture_output=True, text=True, timeout=5, check=True)
        return [Device(kind="mps", index=0, name="Apple GPU", memory_gb=round(int(size.stdout) / GB, 1))]
    return []


def cpu_device() -> Device:
    """The machine itself: its memory, or the limit of the container that we run in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min([total, *cgroup_limits()])
    return Device(kind="cpu", index=0, name=platform.processor() or platform.machine(), memory_gb=round(memory / GB, 1))


def cgroup_limits(mount: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> Iterable[int]:
    """Memory limits in bytes that cgroups (v1 or v2) put on this process, its parents' included."""
    groups = {"": ""}
    with contextlib.suppress(OSError):
        groups |= {line.split(":")[1]: line.split(":", 2)[2].strip("/") for line in membership.read_text().splitlines()}
    files: set[Path] = set()
    for controllers, group in groups.items():
        if controllers not in ("", "memory"):
            continue
        root, name = (mount / "memory", "memory.limit_in_bytes") if controllers else (mount, "memory.max")
        folder = root / group
        files |= {parent / name for parent in (folder, *folder.parents) if parent.is_relative_to(root)}
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            yield int(file.read_text())
