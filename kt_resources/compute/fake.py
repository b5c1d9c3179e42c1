"""A machine for unit tests: eight devices of 80 GB, and programs that are functions of the test."""

from collections.abc import Callable, Mapping
from typing import Any

from kt_resources.compute.devices import Device, fake_devices
from kt_resources.compute.launch import with_precision
from kt_resources.compute.leases import candidates
from kt_resources.compute.needs import Needs
from kt_resources.compute.precision import choose_precision
from kt_resources.compute.program import ProgramSpec
from kt_resources.errors import ComputeError

EIGHT_OF_80_GB = "cuda:8x80,cpu:1x512"


class FakeCompute:
    """Obeys :class:`kt_resources.compute.protocol.Compute`; refuses what the real one refuses, waits for nothing.

    Args:
        programs: module name → function that writes the program's files under ``spec.out_dir`` and returns its result.
        described_devices: the machine, in the words of ``KT_FAKE_DEVICES``.
    """

    def __init__(
        self,
        programs: Mapping[str, Callable[[Any], dict[str, Any]]] | None = None,
        described_devices: str = EIGHT_OF_80_GB,
    ) -> None:
        self.programs, self.launched = dict(programs or {}), []  # type: dict[str, Any], list[tuple[str, Any, Needs]]
        self._devices = fake_devices(described_devices)

    def devices(self) -> list[Device]:
        """The faked devices."""
        return list(self._devices)

    def launch(self, module: str, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Call the function that stands for ``module``; ``launched`` remembers module, spec and needs."""
        chosen = candidates(self._devices, needs)[: needs.devices]
        if module not in self.programs:
            raise ComputeError(f"no program stands for {module}", where="FakeCompute", mend="give it in programs=")
        (spec.out_dir / "run").mkdir(parents=True, exist_ok=True)
        spec.scratch_dir.mkdir(parents=True, exist_ok=True)
        precision = choose_precision(needs, chosen[0])
        spec = with_precision(spec, precision)
        self.launched.append((module, spec, needs))
        took = {
            "devices": [f"{device.id} {device.name}" for device in chosen],
            "device_kind": chosen[0].kind,
            "device_memory_gb": chosen[0].memory_gb,
            "num_processes": needs.devices,
            "threads": "1",
            "precision": precision,
            "lease_wait_s": 0.0,
            "wall_s": 0.0,
            "peak_memory_gb": 0.0,
        }
        return {**self.programs[module](spec), "compute": took}
