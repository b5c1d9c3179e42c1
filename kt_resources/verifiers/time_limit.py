"""A time limit on a call, in the main thread and outside of it."""

import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

REPEAT_S = 0.5
"""Between alarms: the first may be swallowed by a bare ``except`` of the callee."""


class _Expired(BaseException):
    """Raised into the running call; no ``except Exception`` of the callee swallows it."""


def call_with_time_limit(function: Callable[[], T], timeout_s: float) -> T:
    """The result of ``function()``; TimeoutError after ``timeout_s`` seconds.

    In the main thread the call is interrupted by SIGALRM, again and again until it ends; what it returns after the
    first alarm, which it swallowed, is no result. In another thread it is left behind in a daemon thread,
    which ends with the process at the latest.
    """
    if threading.current_thread() is threading.main_thread():
        return _interrupted(function, timeout_s)
    return _left_behind(function, timeout_s)


def _interrupted(function: Callable[[], T], timeout_s: float) -> T:
    expired = False

    def expire(*_: Any) -> None:
        nonlocal expired
        expired = True
        raise _Expired

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s, REPEAT_S)
    try:
        try:
            result = function()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Expired:
        raise TimeoutError(f"no result within {timeout_s:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    if expired:
        raise TimeoutError(f"no result within {timeout_s:g} s")
    return result


def _left_behind(function: Callable[[], T], timeout_s: float) -> T:
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError(f"no result within {timeout_s:g} s")
    if "error" in outcome:
        raise outcome["error"]
    result: T = outcome["result"]
    return result
