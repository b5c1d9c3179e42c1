"""Calls end in time, in the main thread and beside it."""

import threading
import time

import pytest

from kt_resources.verifiers.time_limit import call_with_time_limit


def in_a_thread(function):
    outcome = []

    def run():
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def test_a_quick_call_returns_its_result_or_its_own_error():
    assert call_with_time_limit(lambda: 7, 1.0) == 7
    assert in_a_thread(lambda: call_with_time_limit(lambda: 7, 1.0)) == 7
    with pytest.raises(ZeroDivisionError):
        call_with_time_limit(lambda: 1 // 0, 1.0)
    assert isinstance(in_a_thread(lambda: call_with_time_limit(lambda: 1 // 0, 1.0)), ZeroDivisionError)


def swallows_everything():
    try:
        time.sleep(5)
    except Exception:
        time.sleep(5)


def test_a_slow_call_is_a_timeout_in_either_thread():
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        call_with_time_limit(swallows_everything, 0.1)
    assert isinstance(in_a_thread(lambda: call_with_time_limit(swallows_everything, 0.1)), TimeoutError)
    assert time.monotonic() - start < 2


def test_the_alarm_is_off_after_the_call():
    call_with_time_limit(lambda: None, 0.1)
    time.sleep(0.15)  # an alarm left on would end the test here


def test_a_bare_except_does_not_outlast_the_limit():
    def swallows_the_first_alarm():
        try:
            time.sleep(5)
        except:  # noqa: E722
            time.sleep(5)

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        call_with_time_limit(swallows_the_first_alarm, 0.1)
    assert time.monotonic() - start < 3


def test_what_is_returned_after_a_swallowed_alarm_is_no_result():
    def swallows_and_answers():
        try:
            time.sleep(5)
        except:  # noqa: E722
            return 1.0

    with pytest.raises(TimeoutError):
        call_with_time_limit(swallows_and_answers, 0.1)
    time.sleep(0.6)  # a repeated alarm left on would end the test here
