"""Named devices and price lists."""

from pathlib import Path

import pytest

from kt_resources.compute.catalog import catalog, catalog_entry, load_prices, named_device, price_per_hour
from kt_resources.compute.devices import Device
from kt_resources.compute.precision import best_precision
from kt_resources.errors import ComputeError


def test_every_named_device_can_be_planned_for() -> None:
    for name in catalog():
        device = named_device(name)
        assert device.memory_gb > 10 and catalog_entry(device) == (name, catalog()[name])


@pytest.mark.parametrize(("name", "precision"), [("a100-80gb", "bf16"), ("t4", "fp16"), ("mi300x", "bf16")])
def test_precision_follows_from_the_device(name: str, precision: str) -> None:
    assert best_precision(named_device(name)) == precision


def test_cpu_is_this_machine() -> None:
    assert named_device("cpu").kind == "cpu"


def test_a_device_as_the_driver_names_it_is_found() -> None:
    found = catalog_entry(Device(kind="cuda", index=3, name="NVIDIA A100-SXM4-40GB", memory_gb=42.4))
    assert found is not None and found[0] == "a100-40gb"


def test_an_unknown_device_lists_those_there_are() -> None:
    with pytest.raises(ComputeError, match=r"no device is called 'b900'[\s\S]*h100-80gb"):
        named_device("b900")


def test_prices_have_a_date_and_a_source_and_can_be_ones_own(tmp_path: Path) -> None:
    shipped = load_prices()
    assert shipped.as_of and shipped.source
    assert price_per_hour(shipped, named_device("a100-80gb")) == 2.5
    assert price_per_hour(shipped, named_device("h100-80gb")) is None
    own = tmp_path / "prices.yaml"
    own.write_text("{as_of: '2026-02', source: my invoice, currency: EUR, per_hour: {h100-80gb: 3.1}}")
    assert price_per_hour(load_prices(own), named_device("h100-80gb")) == 3.1


@pytest.mark.parametrize(
    "text", ["h100: 3", "{as_of: '2026-02', source: my invoice, currency: EUR, per_hour: {h100-80gb: -3.1}}"]
)
def test_a_file_that_is_no_price_list_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(ComputeError, match="is no price list"):
        load_prices(tmp_path / "prices.yaml")
