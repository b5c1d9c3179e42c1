"""Named devices, and what an hour of each costs."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from kt_resources.compute.devices import Device, find_devices
from kt_resources.compute.needs import DeviceKind
from kt_resources.errors import ComputeError
from kt_resources.strict import Strict

DEVICES = Path(__file__).with_name("devices.yaml")
PRICES = Path(__file__).with_name("prices.yaml")


class CatalogDevice(Strict):
    """A device that a name stands for.

    Attributes:
        memory_gb: in 10^9 bytes.
        tflops: dense products in the training precision, 10^12 a second.
        bandwidth_gbs: of its memory, 10^9 bytes a second.
        capability: CUDA compute capability; what computes in bf16 follows from it.
    """

    kind: DeviceKind
    memory_gb: float
    tflops: float
    bandwidth_gbs: float
    capability: tuple[int, int]
    source: str


class Prices(Strict):
    """A price list: what one device costs an hour.

    Attributes:
        as_of: the month that the prices are of.
    """

    as_of: str
    source: str
    currency: str
    per_hour: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


@cache
def catalog() -> dict[str, CatalogDevice]:
    """Every named device."""
    table: dict[str, Any] = yaml.safe_load(DEVICES.read_text())
    return {name: CatalogDevice.model_validate(fields) for name, fields in table.items()}


def named_device(name: str) -> Device:
    """The device that ``name`` stands for; ``cpu`` and ``cuda`` are this machine's own.

    Raises:
        ComputeError: there is no such device, here or in the catalog.
    """
    at_hand = {device.kind: device for device in reversed(find_devices())}
    if name.lower() in at_hand:
        return at_hand[name.lower()]  # type: ignore[index]
    found = catalog().get(name.lower())
    if found is None:
        there = ", ".join([*at_hand, *catalog()])
        raise ComputeError(f"no device is called {name!r}", where="--device", mend=f"there are: {there}")
    return Device(
        kind=found.kind,
        index=0,
        name=name.lower(),
        memory_gb=found.memory_gb,
        compute_capability=found.capability,
    )


def catalog_entry(device: Device) -> tuple[str, CatalogDevice] | None:
    """The catalog's name and figures for ``device``, told by its name and memory; None where it is not listed.

    >>> catalog_entry(Device(kind="cuda", index=0, name="NVIDIA A100-SXM4-80GB", memory_gb=85.9))[0]
    'a100-80gb'
    """
    told = device.name.lower().replace(" ", "").replace("-", "")
    for name, entry in catalog().items():
        model = name.split("-")[0]
        if entry.kind == device.kind and model in told and abs(entry.memory_gb - device.memory_gb) < 3:
            return name, entry
    return None


def load_prices(file: Path | None = None) -> Prices:
    """The price list in ``file``, or the one that ships.

    Raises:
        ComputeError: no such file, or it is no price list.
    """
    path = file or PRICES
    try:
        return Prices.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise ComputeError("no such price list", where=str(path), mend="name a YAML file") from error
    except (ValidationError, yaml.YAMLError) as error:
        mend = f"write it as {PRICES.name}: as_of, source, currency, per_hour: {{device: price}}"
        raise ComputeError(f"is no price list: {error}", where=str(path), mend=mend) from error


def price_per_hour(prices: Prices, device: Device) -> float | None:
    """What an hour of ``device`` costs; None where the list has no price for it."""
    entry = catalog_entry(device)
    return prices.per_hour.get(entry[0] if entry else device.kind if device.kind == "cpu" else device.name)
