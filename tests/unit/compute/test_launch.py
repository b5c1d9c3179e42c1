import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from kt_resources.compute.devices import fake_devices
from kt_resources.compute.launch import Launcher, with_precision
from kt_resources.compute.leases import lease
from kt_resources.compute.needs import Needs
from kt_resources.compute.program import ProgramSpec
from kt_resources.errors import ComputeError, TrainingError

HERE = Path(__file__).parent
MODULE = "sample_program"
ONE = fake_devices("cuda:1x80,cpu:1x16")


class Spec(ProgramSpec):
    act: str
    sleep_s: float = 60.0


@pytest.fixture(autouse=True)
def _sample_program_is_importable(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[2]}")


@pytest.fixture
def launcher(tmp_path) -> Launcher:
    return Launcher(tmp_path / "leases", ONE, lease_timeout_s=0)


def spec(tmp_path: Path, act: str, **values) -> Spec:
    return Spec(out_dir=tmp_path / "out", scratch_dir=tmp_path / "scratch", act=act, **values)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_of(scratch: Path) -> list[int]:
    """The sleeping program and its child, once they run."""
    file, deadline = scratch / "pids.json", time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline, "the program did not start"
        time.sleep(0.02)
    return json.loads(file.read_text())


def wait_gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


def test_success_returns_the_result_and_what_it_took(launcher, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    result = launcher.launch(MODULE, spec(tmp_path, "succeed"), Needs())
    took = result["compute"]
    assert took["devices"] == ["cuda:0 faked cuda"] and took["precision"] == "bf16" and took["threads"] == "3"
    assert 0.005 < took["peak_memory_gb"] < 2 and took["wall_s"] > 0
    run_dir = tmp_path / "out" / "run"
    assert json.loads((run_dir / "result.json").read_text()) == result
    assert json.loads((run_dir / "spec.json").read_text())["act"] == "succeed"
    assert json.loads((run_dir / "progress.jsonl").read_text())["metrics"] == {"loss": 0.5}


def test_the_program_sees_its_device_its_precision_and_no_telemetry(launcher, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    seen = launcher.launch(MODULE, spec(tmp_path, "succeed"), Needs())["seen"]
    assert seen["CUDA_VISIBLE_DEVICES"] == "0" and seen["KT_PRECISION"] == "bf16"
    assert seen["HF_HUB_OFFLINE"] == "1" and seen["DO_NOT_TRACK"] == "1"


def test_a_spec_with_a_precision_gets_that_of_the_lease(tmp_path) -> None:
    class Precise(Spec):
        precision: str = "bf16"

    assert with_precision(Precise(out_dir=tmp_path, scratch_dir=tmp_path, act="x"), "fp16").precision == "fp16"
    assert with_precision(spec(tmp_path, "x"), "fp16") == spec(tmp_path, "x")


def test_a_cpu_program_sees_no_gpu(launcher, tmp_path) -> None:
    assert launcher.launch(MODULE, spec(tmp_path, "succeed"), Needs(kind="cpu"))["seen"]["CUDA_VISIBLE_DEVICES"] == ""


def test_a_mistake_keeps_its_class_place_and_mend(launcher, tmp_path) -> None:
    with pytest.raises(TrainingError) as caught:
        launcher.launch(MODULE, spec(tmp_path, "mistake"), Needs())
    assert (caught.value.what, caught.value.where) == ("the loss mask is empty", "row 7")
    assert caught.value.mend == "check the template"


def test_an_old_mistake_does_not_explain_a_new_run(launcher, tmp_path) -> None:
    with pytest.raises(TrainingError):
        launcher.launch(MODULE, spec(tmp_path, "mistake"), Needs())
    with pytest.raises(ComputeError, match="ValueError: a bug on line one"):
        launcher.launch(MODULE, spec(tmp_path, "crash"), Needs())
    assert "seen" in launcher.launch(MODULE, spec(tmp_path, "succeed"), Needs())


@pytest.mark.parametrize(("act", "what"), [("out_of_memory", "ran out of memory"), ("killed", "was killed")])
def test_out_of_memory_says_what_to_lower(launcher, tmp_path, act, what) -> None:
    with pytest.raises(ComputeError, match=what) as caught:
        launcher.launch(MODULE, spec(tmp_path, act), Needs())
    assert "micro_batch_size" in caught.value.mend


def test_the_lease_is_free_again_whatever_happened(launcher, tmp_path) -> None:
    for act in ("succeed", "mistake", "crash", "killed"):
        with contextlib.suppress(ComputeError, TrainingError):
            launcher.launch(MODULE, spec(tmp_path, act), Needs())
        with lease(launcher.leases, ONE, Needs(), timeout_s=0):
            pass


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt, also where the tests were started with it ignored (by `make test &`)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("act", ["sleep", "stubborn"])
def test_an_interrupt_leaves_no_process_and_no_lease(launcher, tmp_path, monkeypatch, act) -> None:
    monkeypatch.setattr(
        "kt_resources.compute.process.Process.stop.__defaults__", (((signal.SIGINT, 0.5), (signal.SIGTERM, 0.5)),)
    )
    interrupt = threading.Thread(
        target=lambda: (pids_of(tmp_path / "scratch"), os.kill(os.getpid(), signal.SIGINT)), daemon=True
    )
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        launcher.launch(MODULE, spec(tmp_path, act), Needs())
    assert wait_gone(pids_of(tmp_path / "scratch"), 1)
    with lease(launcher.leases, ONE, Needs(), timeout_s=0):
        pass


@pytest.mark.parametrize("act", ["sleep", "stubborn"])
def test_the_program_dies_with_a_killed_parent(tmp_path, act) -> None:
    code = f"""
        from pathlib import Path
        from test_launch import ONE, Launcher, Needs, spec
        tmp = Path({str(tmp_path)!r})
        Launcher(tmp / "leases", ONE).launch({MODULE!r}, spec(tmp, {act!r}), Needs())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    program, grandchild = pids_of(tmp_path / "scratch")
    with pytest.raises(ComputeError, match=f"by process {program}"), lease(tmp_path / "leases", ONE, Needs(), 0):
        pass
    parent.kill()
    parent.wait()
    assert wait_gone([program], 3)
    os.kill(grandchild, signal.SIGKILL)  # it left our session and nothing ties it: torch's workers tie themselves
    with lease(tmp_path / "leases", ONE, Needs(), timeout_s=1):
        pass


def test_two_processes_go_through_accelerate(tmp_path) -> None:
    launcher = Launcher(tmp_path / "leases", fake_devices("cpu:1x16"))
    result = launcher.launch(MODULE, spec(tmp_path, "succeed"), Needs(kind="cpu", devices=2, precision="fp32"))
    assert (result["seen"]["RANK"], result["seen"]["WORLD_SIZE"]) == ("0", "2")
    assert result["compute"]["num_processes"] == 2
    assert len((tmp_path / "out" / "run" / "progress.jsonl").read_text().splitlines()) == 1


def test_a_mistake_in_a_worker_of_accelerate_keeps_its_class(tmp_path) -> None:
    launcher = Launcher(tmp_path / "leases", fake_devices("cpu:1x16"))
    with pytest.raises(TrainingError, match="the loss mask is empty"):
        launcher.launch(MODULE, spec(tmp_path, "mistake"), Needs(kind="cpu", devices=2, precision="fp32"))


def test_under_dagster_progress_reaches_the_log_and_the_asset_returns_its_own_result(launcher, tmp_path) -> None:
    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        result = launcher.launch(MODULE, spec(tmp_path, "succeed"), Needs(), context)
        return dg.MaterializeResult(metadata={"precision": result["compute"]["precision"]})

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([model], instance=instance)
        logged = [entry.user_message for entry in instance.all_logs(done.run_id)]
    (event,) = done.get_asset_materialization_events()
    assert event.materialization.metadata["precision"].value == "bf16"
    assert any("succeed 1/2 loss 0.5" in message for message in logged)


def test_a_cancelled_dagster_run_leaves_no_process(launcher, tmp_path) -> None:
    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        launcher.launch(MODULE, spec(tmp_path, "sleep"), Needs(), context)
        return dg.MaterializeResult()

    threading.Thread(
        target=lambda: (pids_of(tmp_path / "scratch"), os.kill(os.getpid(), signal.SIGINT)), daemon=True
    ).start()
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        dg.materialize([model])
    assert wait_gone(pids_of(tmp_path / "scratch"), 1)
