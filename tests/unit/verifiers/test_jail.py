"""What a program in the jail sees and leaves behind: for who runs the tests and, where that is root, for nobody too."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kt_resources.verifiers import sandbox
from kt_resources.verifiers.sandbox import Limits, isolation_problem, run_jailed

pytestmark = pytest.mark.skipif(isolation_problem() is not None, reason=isolation_problem() or "")

NOBODY = 65534
WIDE = {"timeout_s": 60, "cpu_s": 10}
CALL = """
import dataclasses, json, sys
sys.path.insert(0, sys.argv[1])
import sandbox
program, limits = json.loads(sys.argv[2])
problem = sandbox.isolation_problem()
print(json.dumps(problem or dataclasses.asdict(sandbox.run_jailed(program, sandbox.Limits(**limits)))))
"""
CLINGING = """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.prctl(1, 0)
os.setsid()
libc.prctl(15, b"{mark}")
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
time.sleep({then_s})
"""
"""It dies with no other process and leaves its session; ``mark`` is its name for those who look from outside."""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["as it is", "as nobody"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts a process that runs a program in the jail and tells what became of it."""
    as_nobody = request.param == "as nobody"
    python = shutil.which("python3", path=os.defpath) if as_nobody else sys.executable
    if as_nobody and (os.geteuid() != 0 or not python):
        pytest.skip("it takes root, and a Python that anybody may run")

    def become(covered: str) -> None:
        if covered:
            cover(covered)
        if as_nobody:
            os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY)

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for module in (sandbox.__file__, sandbox.JAIL):
            shutil.copy(module, folder)

        def started(program: str, covered: str = "", **limits: float) -> "subprocess.Popen[str]":
            command = [str(python), "-c", CALL, folder, json.dumps([program, WIDE | limits])]
            before = partial(become, covered)
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/", preexec_fn=before)

        yield started


def cover(folder: str) -> None:
    """Put an empty folder over ``folder``, for this process and those that it starts."""
    libc = ctypes.CDLL(None)
    libc.unshare(0x20000)
    libc.mount(None, b"/", None, 0x44000, None)
    assert libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, None) == 0


def told(caller: "subprocess.Popen[str]") -> dict[str, Any]:
    with caller:
        ran = json.loads(caller.communicate()[0])
    if isinstance(ran, str):
        pytest.skip(ran)
    return dict(ran)


def named(mark: str) -> list[str]:
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/comm") if _text(path).strip() == mark]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.05)
    return happened()


@pytest.mark.parametrize(("then_s", "finished"), [(0, True), (600, False)], ids=["by itself", "by its time"])
def test_nothing_outlives_a_run_that_ends(start: Start, then_s: int, finished: bool) -> None:
    mark = f"left{os.getpid()}"
    ran = told(start(CLINGING.format(mark=mark, then_s=then_s), timeout_s=60 if finished else 3))
    assert ran["finished"] == finished
    assert named(mark) == []


def test_nothing_outlives_the_caller(start: Start) -> None:
    mark = f"left{os.getpid()}"
    caller = start(CLINGING.format(mark=mark, then_s=600))
    if not within(30, lambda: len(named(mark)) == 4):
        told(caller)
    caller.kill()
    caller.communicate()
    assert within(10, lambda: named(mark) == [])


def test_a_program_cannot_end_the_process_that_holds_it(start: Start) -> None:
    program = (
        "import os, signal\nfor number in (9, 15, 19):\n    try: os.kill(1, number)\n    except OSError: pass\nprint(3)"
    )
    assert told(start(program))["stdout"] == "3\n"


def test_runs_do_not_share_their_processes(start: Start) -> None:
    """Of 16 each, the first run holds 4; the second still starts 15 beside its own."""
    mark = f"held{os.getpid()}"
    forks = "import os, time\nfor forked in range(99):\n    try:\n        if os.fork() == 0: time.sleep(600)\n"
    forks += "    except OSError: break\nprint(forked)"
    other = start(CLINGING.format(mark=mark, then_s=600))
    try:
        within(30, lambda: len(named(mark)) == 4 or other.poll() is not None)
        assert told(start(forks))["stdout"] == "15\n"
    finally:
        other.kill()
        other.communicate()


def test_a_program_sees_its_own_processes_alone(start: Start) -> None:
    ran = told(start("import os\nprint(sorted(name for name in os.listdir('/proc') if name.isdigit()))"))
    assert ran["stdout"] == "['1', '2']\n"  # the process that holds it, and itself


def test_where_its_own_processes_cannot_be_shown_none_are(start: Start, request: pytest.FixtureRequest) -> None:
    """As in a container that covers a part of ``/proc``: there who is not root gets no ``/proc`` of his own."""
    if "nobody" not in request.node.name:
        pytest.skip("root may always see the processes of its namespaces")
    assert told(start("import os\nprint(os.listdir('/proc'))", covered="/proc/sys"))["stdout"] == "[]\n"


def test_a_program_sees_no_files_but_the_systems_and_pythons(start: Start) -> None:
    store = Path(tempfile.mkdtemp(dir="/var/tmp"))
    store.chmod(0o755)
    (store / "expected").write_text("3")
    try:
        ran = told(start(f"print(open({str(store / 'expected')!r}).read())"))
        assert not ran["finished"] and "FileNotFoundError" in ran["stderr"]
        seen = told(start("import os\nprint(*os.listdir('/'))"))["stdout"].split()
        python = Path(sys.prefix).parts[1], Path(sys.base_prefix).resolve().parts[1]
        assert set(seen) <= {"bin", "dev", "etc", "lib", "lib64", "nix", "proc", "tmp", "usr", *python}
    finally:
        shutil.rmtree(store)


def test_what_a_program_needs_is_there(start: Start) -> None:
    """Packages, a folder to write to, the ends of the pipes, and another Python."""
    program = """
    import decimal, os, random, subprocess, sys, tempfile
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("3")
    open("here", "w").write("4")
    open("/dev/null", "w").write("5")
    print(open("/tmp/here").read(), subprocess.check_output([sys.executable, "-c", "print(6)"], text=True))
    """
    ran = told(start(textwrap.dedent(program)))
    assert (ran["stdout"].split(), ran["stderr"]) == (["4", "6"], "")


def test_pythons_packages_are_there() -> None:
    assert run_jailed("import numpy\nprint(numpy.ones(3).sum())", Limits(**WIDE)).stdout == "3.0\n"


def test_a_program_is_the_first_to_end_where_memory_runs_out(start: Start) -> None:
    assert told(start("print(open('/proc/self/oom_score_adj').read())"))["stdout"].strip() == "1000"
