"""What an asset may ask of the machine."""

from typing import Any, Protocol, runtime_checkable

from kt_resources.compute.devices import Device
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import ProgramSpec


@runtime_checkable
class Compute(Protocol):
    """Knows the devices and launches programs on them."""

    def devices(self) -> list[Device]:
        """The devices at hand, the CPU among them."""
        ...

    def launch(self, module: str, spec: ProgramSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Run ``python -m module`` on ``spec`` under a lease; its result, with ``compute`` for what it took."""
        ...
