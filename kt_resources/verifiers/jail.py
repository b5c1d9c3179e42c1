"""The inside of the jail: ``python -I jail.py FD`` runs a program that nobody trusts. Linux; standard library alone.

FD gives a JSON request: ``source``, ``tests``, ``token``, ``scratch``, ``verdict`` (a file descriptor) and ``limits``.
The program gets namespaces of its own for network (empty), processes, mounts and messages; every file system is
read-only but a small one in memory; it has no privilege, and limits on CPU time, memory, processes and file sizes.
A determined program can lie about tests that run in its own process; it cannot reach out of here.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
ATTR_READONLY_NOSUID = 1 | 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NOBODY = 65534
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Shut the process in, let its child run the program, and end as the child does."""
    with os.fdopen(int(sys.argv[1])) as pipe:
        request = json.load(pipe)
    is_root = os.geteuid() == 0
    _unshare(is_root)
    _read_only(request["scratch"], request["limits"]["scratch_mb"])
    if is_root:
        _show_library(os.path.join(request["scratch"], ".python"))
    child = os.fork()
    if child:
        os.close(request["verdict"])
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _call(LIBC.mount, b"proc", b"/proc", b"proc", 0, None, must=False)
    _limit(request["limits"])
    _drop_privileges(is_root)
    os.chdir(request["scratch"])
    _run(request)


def _call(function: Any, *arguments: Any, must: bool = True) -> None:
    if function(*arguments) != 0 and must:
        error = ctypes.get_errno()
        raise OSError(error, f"{getattr(function, '__name__', 'syscall')}: {os.strerror(error)}")


def _unshare(is_root: bool) -> None:
    """Namespaces of its own; a user namespace too where it takes one to get the others."""
    uid, gid = os.getuid(), os.getgid()
    _call(LIBC.prctl, PR_SET_PDEATHSIG, signal.SIGKILL)
    _call(LIBC.unshare, NEWNS | NEWIPC | NEWPID | NEWNET | (0 if is_root else NEWUSER))
    if not is_root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def _read_only(scratch: str, scratch_mb: int) -> None:
    """Every mount read-only; ``/run`` and ``/tmp``, where sockets of others lie, empty; ``scratch`` in memory."""
    _call(LIBC.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    attributes = (ctypes.c_uint64 * 4)(ATTR_READONLY_NOSUID, 0, 0, 0)
    _call(LIBC.syscall, MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, ctypes.sizeof(attributes))
    needed = [os.path.realpath(path) + "/" for path in (sys.prefix, sys.base_prefix)]
    covered = [at for at in ("/run", "/tmp") if os.path.isdir(at) and not any(p.startswith(at + "/") for p in needed)]
    for folder in covered:
        _in_memory(folder, scratch_mb)
    if any(scratch.startswith(folder + "/") for folder in covered):
        os.makedirs(scratch)
        os.chmod(scratch, 0o777)
    else:
        _in_memory(scratch, scratch_mb)


def _show_library(folder: str) -> None:
    """Python's own files under ``folder`` too: they may lie where nobody but root can go."""
    shown = {path: os.path.join(folder, str(number)) for number, path in enumerate(filter(os.path.isdir, sys.path))}
    for path, place in shown.items():
        os.makedirs(place)
        _call(LIBC.mount, path.encode(), place.encode(), None, MS_BIND, None)
    sys.path[:] = shown.values()
    for package in [module for module in sys.modules.values() if hasattr(module, "__path__")]:
        parents = {os.path.dirname(path): os.path.basename(path) for path in package.__path__}
        package.__path__ = [os.path.join(shown.get(parent, parent), name) for parent, name in parents.items()]


def _in_memory(folder: str, size_mb: int) -> None:
    options = f"size={size_mb}m,mode=777".encode()
    _call(LIBC.mount, b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options)


def _limit(limits: dict[str, int]) -> None:
    megabyte = 2**20
    for kind, value in (
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_AS, limits["memory_mb"] * megabyte),
        (resource.RLIMIT_FSIZE, limits["file_mb"] * megabyte),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def _drop_privileges(is_root: bool) -> None:
    """Nobody where it was root; and no capability either way, the namespace's own included."""
    if is_root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _call(LIBC.capset, header, nothing)
    _call(LIBC.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(LIBC.prctl, PR_SET_PDEATHSIG, signal.SIGKILL)


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
