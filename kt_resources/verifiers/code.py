"""The answer is a program that passes the row's tests; it runs without network, in a process with limits."""

import json
from typing import Any, Literal

from pydantic import Field, model_validator

from kt_resources.errors import GenerationError
from kt_resources.verifiers.base import Row, Score, VerifierConfig, column, place_of
from kt_resources.verifiers.fences import program_of
from kt_resources.verifiers.sandbox import Limits, isolation_problem, run_jailed


class Code(VerifierConfig):
    """Score 1 where the answer, a Python program, passes every test of the row.

    A row's ``verification`` is JSON: ``{"tests": ["assert add(1, 2) == 3", ...]}``, run after the program in its
    names, or ``{"cases": [{"stdin": "1 2", "stdout": "3"}, ...]}``, a run each, compared up to white space at the
    ends. Of an answer in Markdown the last fenced block of Python is the program, else the last without a tag.

    Attributes:
        partial: the share of the tests that pass, in place of all or nothing. Where one of ``tests`` loops or exits,
            each gets a run of its own: tests must not build on names that another one sets.
        timeout_s: wall time of a run.
        memory_mb: address space of each process of a run.
        processes: processes and threads of a run.
    """

    type: Literal["code"]
    answer_marker: str | None = Field(default=None, min_length=1)
    partial: bool = False
    timeout_s: float = Field(default=10.0, gt=0)
    memory_mb: int = Field(default=512, ge=64)
    processes: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _can_be_shut_in(self) -> "Code":
        if problem := isolation_problem():
            raise ValueError(f"answers that are programs cannot be run here: {problem}")
        return self

    @property
    def truths(self) -> tuple[str, ...]:
        return ("verification",)

    def scorer(self) -> Score:
        limits = Limits(self.timeout_s, max(1, round(self.timeout_s)), self.memory_mb, self.processes)

        def score(answer: str, row: Row) -> float:
            tests, cases = checks_of(row)
            results = passed(program_of(answer), tests, cases, limits, apart=self.partial)
            return sum(results) / len(results) if self.partial else float(all(results))

        return score


def checks_of(row: Row) -> tuple[list[str], list[dict[str, str]]]:
    """The row's tests and its cases.

    Raises:
        GenerationError: there are none, or they are of another form.
    """
    mend = 'give it as {"tests": ["assert ..."]} or {"cases": [{"stdin": "...", "stdout": "..."}]}'
    try:
        given: Any = json.loads(column(row, "verification"))
        tests, cases = list(given.get("tests", [])), list(given.get("cases", []))
        sound = all(isinstance(test, str) for test in tests)
        sound = sound and all(isinstance(case[name], str) for case in cases for name in ("stdin", "stdout"))
        "".join(case["stdin"] for case in cases if sound).encode()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise GenerationError(f"its tests cannot be read: {error}", where=place_of(row), mend=mend) from None
    if not sound or not (tests or cases):
        raise GenerationError("its verification has no tests", where=place_of(row), mend=mend)
    return tests, cases


def passed(
    program: str, tests: list[str], cases: list[dict[str, str]], limits: Limits, apart: bool = False
) -> list[bool]:
    """For each test, then each case, whether the program passes it.

    Args:
        apart: where the tests do not all come to an end together, run each of them by itself.
    """
    results: list[bool] = []
    if tests:
        found = list(run_jailed(program, limits, tests=tests).passed)
        if len(found) != len(tests):
            found = _each_passed(program, tests, limits) if apart else [False] * len(tests)
        results += found
    for case in cases:
        ran = run_jailed(program, limits, stdin=case["stdin"])
        results.append(ran.finished and ran.stdout.strip() == case["stdout"].strip())
    return results


def _each_passed(program: str, tests: list[str], limits: Limits) -> list[bool]:
    """A run each; none where the program does not come to an end without any test."""
    if len(tests) == 1 or not run_jailed(program, limits).finished:
        return [False] * len(tests)
    return [run_jailed(program, limits, tests=[test]).passed == (True,) for test in tests]
