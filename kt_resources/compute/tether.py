"""Start a command tied to the process that launched it: ``python tether.py PARENT_PID COMMAND...``

On Linux the kernel then sends the command SIGTERM when its parent dies, even by SIGKILL. It stands in a file of its
own, run by path, because a hook between fork and exec (``preexec_fn``) is unsafe in a parent with threads. Signals
that a background shell had set to ignored are reset, so that Ctrl-C reaches the program.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1

MARK = "KT_PROGRAM_MARK"
"""Environment variable that every process of a launched program inherits, with a value of its own for each launch."""


def die_with_parent(parent: int) -> None:
    """Have the kernel send us SIGTERM when our parent dies; exit at once where it is not ``parent`` any more."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"the process {parent} that launched this is gone")


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
