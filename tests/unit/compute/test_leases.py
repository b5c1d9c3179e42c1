import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from kt_resources.compute.devices import fake_devices
from kt_resources.compute.leases import candidates, lease
from kt_resources.compute.needs import Needs
from kt_resources.compute.precision import best_precision
from kt_resources.errors import ComputeError

EIGHT = fake_devices("cuda:8x80,cpu:1x64")


def ids(held) -> list[str]:
    return [device.id for device in held.devices]


def test_leases_take_different_devices_until_none_is_left(tmp_path) -> None:
    with lease(tmp_path, EIGHT, Needs(devices=6)) as first, lease(tmp_path, EIGHT, Needs(devices=2)) as second:
        assert ids(first) == [f"cuda:{index}" for index in range(6)]
        assert ids(second) == ["cuda:6", "cuda:7"]
        with pytest.raises(ComputeError, match=f"cuda:0 by process {os.getpid()}"), lease(tmp_path, EIGHT, Needs(), 0):
            pass


def test_all_or_nothing_leaves_what_it_could_not_use(tmp_path) -> None:
    with lease(tmp_path, EIGHT, Needs(devices=5)):
        with pytest.raises(ComputeError, match="waited"), lease(tmp_path, EIGHT, Needs(devices=4), 0.2):
            pass
        with lease(tmp_path, EIGHT, Needs(devices=3), 0) as rest:
            assert ids(rest) == ["cuda:5", "cuda:6", "cuda:7"]


def test_more_work_than_devices_waits_and_says_for_whom(tmp_path) -> None:
    told: list[str] = []
    released: list[float] = []

    def hold() -> None:
        with lease(tmp_path, EIGHT, Needs(devices=8)):
            held.set()
            time.sleep(0.5)
            released.append(time.monotonic())

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with lease(tmp_path, EIGHT, Needs(devices=8), 10, told.append) as mine:
        assert time.monotonic() >= released[0]
        assert mine.wait_s > 0.2
    thread.join()
    assert len(told) == 1 and f"cuda:7 by process {os.getpid()}" in told[0]


def test_two_large_requests_never_lock_each_other_out(tmp_path) -> None:
    served: list[int] = []

    def work(number: int) -> None:
        with lease(tmp_path, EIGHT, Needs(devices=5), 20, lambda _: None):
            time.sleep(0.02)
            served.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(served) == [0, 1, 2, 3]


def test_sigkill_of_the_holder_frees_the_device(tmp_path) -> None:
    code = f"""
        import pathlib, time
        from kt_resources.compute.devices import fake_devices
        from kt_resources.compute.leases import lease
        from kt_resources.compute.needs import Needs
        with lease(pathlib.Path({str(tmp_path)!r}), fake_devices("cuda:1x80"), Needs()):
            print("held", flush=True)
            time.sleep(60)
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "held\n"
    one = fake_devices("cuda:1x80")
    with pytest.raises(ComputeError, match=f"by process {holder.pid}"), lease(tmp_path, one, Needs(), 0):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lease(tmp_path, one, Needs(), 1) as mine:
        assert ids(mine) == ["cuda:0"]


def test_the_lease_lives_as_long_as_the_program_that_inherited_it(tmp_path) -> None:
    one = fake_devices("cuda:1x80")
    with lease(tmp_path, one, Needs()) as held:
        program = subprocess.Popen(["sleep", "60"], pass_fds=held.file_descriptors)
        held.hand_over(program.pid)
    with pytest.raises(ComputeError, match=f"by process {program.pid}"), lease(tmp_path, one, Needs(), 0):
        pass
    program.kill()
    program.wait()
    with lease(tmp_path, one, Needs(), 1):
        pass


def test_only_devices_with_the_memory_are_taken() -> None:
    mixed = fake_devices("cuda:2x24")
    mixed += [device.model_copy(update={"index": 2 + device.index, "memory_gb": 80.0}) for device in mixed]
    assert [device.index for device in candidates(mixed, Needs(devices=2, memory_gb=40))] == [2, 3]


@pytest.mark.parametrize(
    "needs", [Needs(devices=9), Needs(memory_gb=81), Needs(kind="mps"), Needs(kind="cpu", devices=4, memory_gb=17)]
)
def test_what_can_never_be_had_is_refused_at_once(needs) -> None:
    with pytest.raises(ComputeError, match="can never be had here; at hand: cuda:0 faked cuda 80 GB") as caught:
        candidates(EIGHT, needs)
    assert "lower needs.devices" in caught.value.mend


def test_several_cpu_processes_share_the_one_cpu(tmp_path) -> None:
    # 4 processes × 16 GB = the 64 GB of the machine
    with lease(tmp_path, EIGHT, Needs(kind="cpu", devices=4, memory_gb=16)) as held:
        assert ids(held) == ["cpu:0"]


def test_any_takes_the_cpu_where_there_is_no_gpu(tmp_path) -> None:
    with lease(tmp_path, fake_devices("cpu:1x16"), Needs()) as held:
        assert ids(held) == ["cpu:0"] and held.precision == best_precision(held.devices[0])
