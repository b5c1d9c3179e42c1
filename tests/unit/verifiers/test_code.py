"""Programs as answers: tests decide, and a hostile program reaches nothing and ends in time."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kt_resources.errors import GenerationError
from kt_resources.verifiers import build_verifier
from kt_resources.verifiers import code as code_module
from kt_resources.verifiers.code import Code
from kt_resources.verifiers.fences import program_of
from kt_resources.verifiers.sandbox import Limits, isolation_problem, run_jailed

pytestmark = pytest.mark.skipif(isolation_problem() is not None, reason=isolation_problem() or "")
WIDE = Limits(timeout_s=60, cpu_s=10)


def row(**verification: Any) -> dict[str, Any]:
    return {"id": "1", "verification": json.dumps(verification)}


def score(program: str, partial: bool = False, **verification: Any) -> float:
    return build_verifier(Code(type="code", partial=partial, timeout_s=60))(program, row(**verification))


def test_a_program_passes_all_tests_or_fails() -> None:
    tests = ["assert double(2) == 4", "assert double(0) == 0", "assert double('a') == 'aa'"]
    assert score("def double(x):\n    return x * 2", tests=tests) == 1.0
    assert score("def double(x):\n    return x + x if x else 1", tests=tests) == 0.0
    assert score("def double(x):\n    return x + x if x else 1", partial=True, tests=tests) == pytest.approx(2 / 3)
    assert score("def double(x) return", tests=tests) == 0.0


def test_a_program_may_read_and_write() -> None:
    cases = [{"stdin": "1 2\n", "stdout": "3"}, {"stdin": "4 5\n", "stdout": "9\n"}]
    assert score("print(sum(map(int, input().split())))", cases=cases) == 1.0
    assert score("print(3)", partial=True, cases=cases) == 0.5


def test_the_last_fenced_block_is_the_program() -> None:
    text = "First:\n```python\nx = 1\n```\nBetter:\n```python\nx = 2\n```\nDone."
    assert program_of(text) == "x = 2\n"
    assert program_of("x = 3") == "x = 3"
    assert score(text, tests=["assert x == 2"]) == 1.0


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("```bash\npip install x\n```\nNow:\n```python\nx = 1\n```\n", "x = 1\n"),
        ("```python\nx = 1\n```\nprints\n```text\n1\n```\n", "x = 1\n"),
        ("```python\nx = 1\n```\nprints\n```\n1\n```\n", "x = 1\n"),
        ("```\nx = 0\n```\nbetter:\n```\nx = 1\n```\n", "x = 1\n"),
        ("```python3\nx = 1\n```", "x = 1\n"),
        ("```py\nx = 1\n```", "x = 1\n"),
        ("```Python\r\nx = 1\r\ny = 2\r\n```\r\n", "x = 1\ny = 2\n"),
        ('```python title="a.py"\nx = 1\n```', "x = 1\n"),
        ("``` {.python .numbered}\nx = 1\n```", "x = 1\n"),
        ("~~~\nx = '```'\n~~~", "x = '```'\n"),
        ('````python\nx = """\n```\n"""\n````', 'x = """\n```\n"""\n'),
        ("```python\nx = 1\n", "x = 1\n\n"),
        ("So: ```python\nx = 1```\nDone.", "x = 1"),
        ("```x = 1```", "```x = 1```"),
        ("`" * 3 + "a" * 90_000 + "`", "`" * 3 + "a" * 90_000 + "`"),
        ("```json\n[]\n```", "```json\n[]\n```"),
    ],
)
def test_fences_are_read_line_by_line(answer: str, program: str) -> None:
    assert program_of(answer) == program


HANGS_AND_EXITS = "def f(x):\n    while x == 1: pass\n    if x == 2: raise SystemExit(0)\n    return x"
WAYWARD = [f"assert f({number}) == {number}" for number in (0, 1, 2, 3)]


def test_the_share_counts_each_test_by_itself() -> None:
    """f(0) and f(3) are right; f(1) loops; what f(2) exits with is an exception, as the tests see it: 2 of 4."""
    verify = build_verifier(Code(type="code", partial=True, timeout_s=3))
    assert verify(HANGS_AND_EXITS, row(tests=WAYWARD)) == 0.5
    leaves = HANGS_AND_EXITS.replace("raise SystemExit(0)", "import os; os._exit(0)")
    assert verify(leaves, row(tests=[WAYWARD[0], WAYWARD[2]])) == 0.5
    assert verify("import os; os._exit(0)", row(tests=WAYWARD)) == 0.0


@pytest.mark.parametrize(
    "program",
    ["import os; os._exit(0)", "raise SystemExit(0)", "import sys; sys.exit()", "print('[true]')"],
)
def test_ending_early_passes_nothing(program: str) -> None:
    assert score(program, tests=["assert solved"]) == 0.0


HOSTILE = {
    "a socket to the outside": "import socket; socket.create_connection(('1.1.1.1', 80), 2)",
    "a socket to this machine": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "a file outside": "open({outside!r} + '/made', 'w').write('x')",
    "a change of a file": "open({outside!r} + '/there', 'a').write('x')",
    "a device of memory": "open('/dev/shm/made', 'w').write('x')",
    "a file over the limit": "open('big', 'wb').write(b'x' * 2**24)",
    "more memory than allowed": "x = bytearray(2**30)",
    "rights by a namespace": "import ctypes\nl = ctypes.CDLL(None)\nl.unshare(0x10020000)\n"
    "l.mount(None, b'/', None, 32 | 4096, None)\nopen({outside!r} + '/made', 'w')",
    "the end of another process": "import os; os.kill({pid}, 0)",
    "reading a person's file": "open({outside!r} + '/there').read()",
    "a file where the person's were": "open('/home/made', 'w').write('x' * 10_000)",
    "the memory of its keeper": "open('/proc/1/mem', 'rb')",
}


@pytest.mark.parametrize("attempt", HOSTILE)
def test_a_hostile_program_fails_at(attempt: str, tmp_path: Path) -> None:
    import socket

    (tmp_path / "there").write_text("as it was")
    tmp_path.chmod(0o777)
    (tmp_path / "there").chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = {"port": server.getsockname()[1], "outside": str(tmp_path), "pid": os.getpid()}
        program = HOSTILE[attempt].format(**known) if "{" in HOSTILE[attempt] else HOSTILE[attempt]
        ran = run_jailed(program, WIDE)
    assert not ran.finished and ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "as it was"
    assert not Path("/dev/shm/made").exists()


def test_an_endless_loop_ends_in_time() -> None:
    started = time.monotonic()
    assert not run_jailed("while True: pass", Limits(timeout_s=2, cpu_s=30)).finished
    assert time.monotonic() - started < 30


def test_cpu_time_is_limited_too() -> None:
    """A busy machine gives a program little CPU time within its wall time, an idle one no more than this."""
    ran = run_jailed("import resource; print(resource.getrlimit(resource.RLIMIT_CPU))", Limits(timeout_s=60, cpu_s=3))
    assert ran.stdout.strip() == "(3, 3)"


def test_a_fork_bomb_is_held() -> None:
    """16 processes with the first."""
    bomb = (
        "import os, time\nforked = 0\ntry:\n    while True:\n"
        "        if os.fork() == 0:\n            time.sleep(600)\n        forked += 1\n"
        "except OSError as error:\n    print(forked)\n"
    )
    ran = run_jailed(bomb, WIDE)
    assert ran.finished and int(ran.stdout) == 15


def test_output_without_end_is_cut_off() -> None:
    ran = run_jailed("while True: print('x' * 10_000)", WIDE)
    assert not ran.finished and len(ran.stdout) <= 2**20


def test_what_cannot_be_shut_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_module, "isolation_problem", lambda: "this is no Linux")
    with pytest.raises(ValidationError, match="answers that are programs cannot be run here: this is no Linux"):
        Code(type="code")


def test_another_system_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this is darwin" in str(isolation_problem.__wrapped__())


@pytest.mark.parametrize(
    "verification",
    [
        '{"tests": []}',
        "no json",
        '{"tests": [1]}',
        '{"cases": [{"stdin": "1"}]}',
        r'{"cases": [{"stdin": "\ud800", "stdout": ""}]}',
        "",
    ],
)
def test_a_row_without_tests_is_told(verification: str) -> None:
    verify = build_verifier(Code(type="code"))
    with pytest.raises(GenerationError, match="row 1"):
        verify("x = 1", {"id": "1", "verification": verification})
