"""The inside of the jail: ``python -I jail.py FD`` runs a program that nobody trusts. Linux; standard library alone.

FD gives a JSON request: ``source``, ``tests``, ``token``, ``root`` (an empty folder), ``verdict`` (a file descriptor),
``caller`` (a process) and ``limits``. Three processes: the launcher, on SIGTERM, kills the first process of a process
namespace, with which the kernel kills all others there; that first process dies with the launcher as well, and runs
nothing of the program; the program is its child. It gets namespaces of its own for network (empty), processes, mounts
and messages; a root with the system's and Python's files, read-only, and a small folder in memory; no privilege, and
limits on CPU time, memory, processes and file sizes.
A determined program can lie about tests that run in its own process; it cannot reach out of here.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
from typing import Any, NoReturn

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 0x1000, 0x4000, 0x40000
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
ATTR_READONLY_NOSUID = 1 | 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NOBODY, OWN_USERS = 65534, 0x70000000
SYSTEM = {"/bin", "/lib", "/lib64", "/nix/store", "/usr", "/etc/alternatives", "/etc/group", "/etc/ld.so.cache"}
SYSTEM |= {"/etc/localtime", "/etc/passwd", *(f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero"))}
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Shut a child in, and in there run the program in a child of its own; end as it does."""
    with os.fdopen(int(sys.argv[1])) as pipe:
        request = json.load(pipe)
    _call(LIBC.prctl, PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != request["caller"]:
        os._exit(1)
    is_root, user = os.geteuid() == 0, OWN_USERS + os.getpid()
    _end_first_where_memory_runs_out()
    _unshare(is_root)
    launcher = os.pidfd_open(os.getpid())
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    first = os.fork()
    if first:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(first, signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if first:
        _end_as(first)
    os.setsid()
    _call(LIBC.prctl, PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([launcher], [], [], 0)[0]:
        os._exit(1)
    os.close(launcher)
    _enter_root(request["root"], request["limits"]["scratch_mb"])
    if program := os.fork():
        _end_as(program)
    _limit(request["limits"], of_the_jail=0 if is_root else 2)
    _drop_privileges(user if is_root else None)
    _run(request)


def _end_as(child: int) -> NoReturn:
    """Wait for ``child``, and for orphans that end before it."""
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _call(function: Any, *arguments: Any, must: bool = True) -> None:
    if function(*arguments) != 0 and must:
        error = ctypes.get_errno()
        raise OSError(error, f"{getattr(function, '__name__', 'syscall')}: {os.strerror(error)}")


def _unshare(is_root: bool) -> None:
    """Namespaces of its own; a user namespace too where it takes one to get the others."""
    uid, gid = os.getuid(), os.getgid()
    _call(LIBC.unshare, NEWNS | NEWIPC | NEWPID | NEWNET | (0 if is_root else NEWUSER))
    if not is_root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def _end_first_where_memory_runs_out() -> None:
    """The kernel ends this process and those that it starts before others: their memory is limited one by one only."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _enter_root(root: str, scratch_mb: int) -> None:
    """Make ``root`` the root: what a program needs, read-only, and ``/tmp`` in memory, where it starts."""
    os.umask(0o022)
    _call(LIBC.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    _read_only("/", AT_RECURSIVE)
    _in_memory(root, "size=1m,mode=755")
    for folder in ("/dev", "/proc", "/tmp"):
        os.mkdir(root + folder)
    _in_memory(f"{root}/tmp", f"size={scratch_mb}m,mode=1777")
    for path in _shown():
        _show(path, root + path)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{root}/dev/{name}")
    # where the system allows no mount of the namespace's own processes, ``/proc`` stays empty
    _call(LIBC.mount, b"proc", f"{root}/proc".encode(), b"proc", MS_RDONLY | MS_NOSUID | MS_NODEV, None, must=False)
    _read_only(root)
    os.chroot(root)
    os.chdir("/tmp")


def _read_only(path: str, flags: int = 0) -> None:
    attributes = (ctypes.c_uint64 * 4)(ATTR_READONLY_NOSUID, 0, 0, 0)
    _call(LIBC.syscall, MOUNT_SETATTR, AT_FDCWD, path.encode(), flags, attributes, ctypes.sizeof(attributes))


def _in_memory(folder: str, options: str) -> None:
    _call(LIBC.mount, b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())


def _shown() -> list[str]:
    """The system's files and Python's, none within another."""
    python = [place for prefix in (sys.prefix, sys.base_prefix) for place in (prefix, os.path.realpath(prefix))]
    shown: list[str] = []
    for path in sorted(filter(os.path.exists, {*SYSTEM, *python})):
        if not any(path.startswith(above + "/") for above in shown):
            shown.append(path)
    return shown


def _show(path: str, place: str) -> None:
    os.makedirs(place if os.path.isdir(path) else os.path.dirname(place), exist_ok=True)
    if not os.path.isdir(path):
        open(place, "w").close()
    _call(LIBC.mount, path.encode(), place.encode(), None, MS_BIND | MS_REC, None)


def _limit(limits: dict[str, int], of_the_jail: int) -> None:
    """``of_the_jail``: its own processes that count as the program's user's."""
    megabyte = 2**20
    for kind, value in (
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_AS, limits["memory_mb"] * megabyte),
        (resource.RLIMIT_FSIZE, limits["file_mb"] * megabyte),
        (resource.RLIMIT_NPROC, limits["processes"] + of_the_jail),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _drop_privileges(user: int | None) -> None:
    """``user``, of this run alone, where it was root; and no capability either way, the namespace's own included."""
    if user is not None:
        os.setgroups([])
        try:
            _become(user)
        except OSError:  # a container without users to spare
            _become(NOBODY)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _call(LIBC.capset, header, nothing)
    _call(LIBC.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _become(user: int) -> None:
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _run(request: dict[str, Any]) -> NoReturn:
    """The program as ``__main__``, then each test in its names; which of them passed goes to the verdict."""
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(compile(request["source"], "answer.py", "exec"), names)
    except SystemExit as stop:
        if request["tests"] or stop.code not in (None, 0):
            os._exit(1)
    passed = [_passes(test, names) for test in request["tests"]]
    sys.stdout.flush()
    os.write(request["verdict"], json.dumps([request["token"], passed]).encode())
    os._exit(0)


def _passes(test: str, names: dict[str, Any]) -> bool:
    try:
        exec(compile(test, "test.py", "exec"), names)
    except BaseException:
        return False
    return True


if __name__ == "__main__":
    main()
