import pytest

from kt_resources.compute.devices import Device
from kt_resources.compute.needs import Needs
from kt_resources.compute.precision import (
    best_precision,
    choose_precision,
    cpu_computes_bf16,
    cpu_gains_from_bf16,
    program_device,
    program_precision,
)
from kt_resources.errors import ComputeError


def device(kind: str, capability: tuple[int, int] = (0, 0)) -> Device:
    return Device(kind=kind, index=0, name="x", memory_gb=16, compute_capability=capability)


@pytest.mark.parametrize(
    ("kind", "capability", "best"),
    [
        ("cuda", (9, 0), "bf16"),
        ("cuda", (8, 0), "bf16"),
        ("cuda", (7, 5), "fp16"),
        ("rocm", (0, 0), "bf16"),
        ("mps", (0, 0), "fp32"),
    ],
)
def test_auto_takes_the_best_of_the_device(kind, capability, best) -> None:
    assert best_precision(device(kind, capability)) == best
    assert choose_precision(Needs(), device(kind, capability)) == best


@pytest.mark.parametrize(
    ("flags", "computes"),
    [("fpu avx2 fma", False), ("avx512f avx512bw avx512vl avx512dq", True), ("asimd bf16", True)],
)
def test_a_cpu_computes_bf16_where_its_flags_say_so(flags, computes, tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert cpu_computes_bf16(tmp_path / "cpuinfo") is computes


@pytest.mark.parametrize(
    ("vendor", "flags", "gains"),
    [
        ("AuthenticAMD", "avx2 fma", False),
        ("AuthenticAMD", "avx512bw avx512vl avx512dq avx512_bf16", True),
        ("GenuineIntel", "avx512bw avx512vl avx512dq", False),
        ("GenuineIntel", "avx512bw avx512vl avx512dq avx512_bf16", False),
        ("GenuineIntel", "avx512bw avx512vl avx512dq avx512_bf16 amx_bf16", True),
        ("", "asimd bf16", True),
    ],
)
def test_a_cpu_trains_in_bf16_where_that_is_faster(vendor, flags, gains, tmp_path, monkeypatch) -> None:
    (tmp_path / "cpuinfo").write_text(f"vendor_id : {vendor}\nflags : {flags}\n")
    assert cpu_gains_from_bf16(tmp_path / "cpuinfo") is gains
    monkeypatch.setattr("kt_resources.compute.precision.cpu_gains_from_bf16", lambda: gains)
    assert best_precision(device("cpu")) == ("bf16" if gains else "fp32")


def test_tiles_count_for_those_who_use_them(tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text("vendor_id : GenuineIntel\nflags : avx512_bf16 amx_bf16\n")
    assert cpu_gains_from_bf16(tmp_path / "cpuinfo", tiles=True)
    assert not cpu_gains_from_bf16(tmp_path / "cpuinfo", tiles=False)


def test_a_machine_that_tells_no_flags_gets_fp32(tmp_path) -> None:
    assert cpu_computes_bf16(tmp_path / "missing") is cpu_gains_from_bf16(tmp_path / "missing") is False


def test_what_was_asked_wins() -> None:
    assert choose_precision(Needs(precision="fp32"), device("cuda", (9, 0))) == "fp32"


@pytest.mark.parametrize(
    ("precision", "where"), [("fp16", device("cpu")), ("bf16", device("cuda", (7, 5)))], ids=["cpu", "old cuda"]
)
def test_what_the_device_cannot_do_is_refused_with_what_it_can(precision, where) -> None:
    with pytest.raises(ComputeError, match=f"does not compute in {precision}") as caught:
        choose_precision(Needs(precision=precision), where)
    assert best_precision(where) in caught.value.mend


def test_a_program_reads_what_its_lease_said(monkeypatch) -> None:
    monkeypatch.setenv("KT_PRECISION", "fp16")
    monkeypatch.setenv("KT_DEVICE_KIND", "rocm")
    assert (program_precision(), program_device()) == ("fp16", "cuda")


def test_a_program_started_by_hand_finds_its_device(monkeypatch) -> None:
    monkeypatch.delenv("KT_PRECISION", raising=False)
    monkeypatch.delenv("KT_DEVICE_KIND", raising=False)
    monkeypatch.setenv("KT_FAKE_DEVICES", "mps:1x16")
    assert (program_precision(), program_device()) == ("fp32", "mps")
