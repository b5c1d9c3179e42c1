"""The inside of the jail: ``python -I jail.py FD`` runs a program that nobody trusts. Linux; standard library alone.

FD gives a JSON request: ``source``, ``tests``, ``token``, ``scratch``, ``verdict`` (a file descriptor) and ``limits``.
The program gets namespaces of its own for network (empty), processes, mounts and messages; of the file system it sees
the system's own folders and Python's, read-only, and a small one in memory; it has no privilege, and limits on CPU
time, memory, processes and file sizes. The first process of its namespace is ours and never runs it: what ends that one
ends the program and all that it started. A determined program can lie about tests that run in its own process; it
cannot reach out of here.
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
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
NOBODY = 65534
SHOWN = ("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "proc", "sbin", "sys", "usr")
"""Folders of the root that are the system's; what lies in others is a person's, and not to be seen."""
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Shut the process in, let a child of its child run the program, and end as that one does."""
    with os.fdopen(int(sys.argv[1])) as pipe:
        request = json.load(pipe)
    is_root, uid = os.geteuid() == 0, os.getuid()
    own_uid = 2**30 + os.getpid() if is_root else uid  # the limit on processes is counted by user
    _unshare(is_root)
    _hide(request["scratch"], request["limits"]["scratch_mb"])
    _end_as(os.fork(), request)
    _call(LIBC.prctl, PR_SET_PDEATHSIG, signal.SIGKILL)
    _call(LIBC.prctl, PR_SET_DUMPABLE, 0)
    _show_own_processes()
    _end_as(os.fork(), request)
    _limit(request["limits"])
    _drop_privileges(is_root, own_uid)
    os.chdir(request["scratch"])
    _run(request)


def _end_as(child: int, request: dict[str, Any]) -> None:
    """In the parent: wait until ``child`` has ended, and end as it did. The child goes on."""
    if not child:
        return
    os.close(request["verdict"])
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _call(function: Any, *arguments: Any) -> None:
    if function(*arguments) != 0:
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


def _hide(scratch: str, scratch_mb: int) -> None:
    """Every mount read-only, all but the system's folders empty, Python's shown again; ``scratch`` in memory."""
    _call(LIBC.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    attributes = (ctypes.c_uint64 * 4)(ATTR_READONLY_NOSUID, 0, 0, 0)
    _call(LIBC.syscall, MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, ctypes.sizeof(attributes))
    hidden = [
        entry.path for entry in os.scandir("/") if entry.name not in SHOWN and entry.is_dir(follow_symlinks=False)
    ]
    python = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix)} - {"/"}
    covered = {path: os.open(path, os.O_PATH) for path in sorted(python) if _top(path) in hidden}
    for folder in hidden:
        _in_memory(folder, f"size={scratch_mb}m,mode=777" if folder == "/tmp" else "size=4k,nr_inodes=64,mode=755")
    for path, place in covered.items():
        os.makedirs(path, exist_ok=True)
        _call(LIBC.mount, f"/proc/self/fd/{place}".encode(), path.encode(), None, MS_BIND | MS_REC, None)
        os.close(place)
    if _top(scratch) != "/tmp":
        if _top(scratch) in hidden:
            os.makedirs(scratch)
        _in_memory(scratch, f"size={scratch_mb}m,mode=777")
        return
    os.makedirs(scratch)
    os.chmod(scratch, 0o777)


def _top(path: str) -> str:
    """The folder of the root that ``path`` lies in."""
    return "/" + path.split("/")[1]


def _in_memory(folder: str, options: str) -> None:
    _call(LIBC.mount, b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode())


def _show_own_processes() -> None:
    """``/proc`` of this namespace; none where the system does not let it be shown, as in some containers."""
    if LIBC.mount(b"proc", b"/proc", b"proc", 0, None) != 0:
        _in_memory("/proc", "size=4k,nr_inodes=2,mode=555")


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


def _drop_privileges(is_root: bool, own_uid: int) -> None:
    """A user whom nobody else is where it was root; and no capability either way, the namespace's own included."""
    if is_root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        try:
            os.setresuid(own_uid, own_uid, own_uid)
        except OSError:  # a container that has few users
            os.setresuid(NOBODY, NOBODY, NOBODY)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    _call(LIBC.capset, header, nothing)
    _call(LIBC.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(LIBC.prctl, PR_SET_DUMPABLE, 1)


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
