"""A program that does what a test asks of it: ``python -m sample_program --spec spec.json``."""

import os
import signal
import subprocess
import sys
import time

from kt_resources.compute import program
from kt_resources.compute.program import ProgramSpec, Progress, run_program, write_json
from kt_resources.errors import TrainingError


class SampleSpec(ProgramSpec):
    act: str
    sleep_s: float = 60.0


def work(spec: SampleSpec, progress: Progress) -> dict:
    progress.report(1, 2, spec.act, loss=0.5)
    if spec.act == "mistake":
        raise TrainingError("the loss mask is empty", where="row 7", mend="check the template")
    if spec.act == "crash":
        raise ValueError("a bug on line one")
    if spec.act == "out_of_memory":
        sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    if spec.act == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if spec.act in ("sleep", "stubborn"):
        sleep(spec)
    names = ("CUDA_VISIBLE_DEVICES", "KT_PRECISION", "HF_HUB_OFFLINE", "DO_NOT_TRACK", "RANK", "WORLD_SIZE")
    return {"seen": {name: os.environ.get(name) for name in names}}


def sleep(spec: SampleSpec) -> None:
    """Sleep beside a child that has left our process group, as torch's elastic workers do."""
    if spec.act == "stubborn":
        program.ORPHAN_GRACE_S = 0.3
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    write_json(spec.scratch_dir / "pids.json", [os.getpid(), grandchild.pid])
    time.sleep(spec.sleep_s)


if __name__ == "__main__":
    run_program(SampleSpec, work)
