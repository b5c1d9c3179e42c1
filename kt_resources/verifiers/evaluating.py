"""Which generators of reasoning-gym evaluate text when they score, and the grammar of what each may be given."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from kt_resources.verifiers.grammars import FUNCTIONS, expression, literal, number, shifts

Entry = Mapping[str, Any]
Fits = Callable[[str, Entry], bool]


def _literal(text: str, entry: Entry) -> bool:
    return literal(text)


def _arithmetic(text: str, entry: Entry) -> bool:
    return expression(text, powers=False)


def _polynomial(text: str, entry: Entry) -> bool:
    return expression(text, entry["metadata"]["variables"])


def _integral(text: str, entry: Entry) -> bool:
    """With ``Integral`` only where the row's own answer has it: the question written again is right too."""
    unsolved = {"Integral"} if "Integral" in entry["answer"] else set()
    return expression(text, (entry["metadata"]["variable"], "C", "pi", "E"), {*FUNCTIONS, *unsolved})


ANSWERS: dict[str, Fits] = {
    "binary_matrix": _literal,
    "coin_flip": lambda text, entry: number(text),  # Fraction("1e999999999") takes all memory
    "countdown": _arithmetic,
    "intermediate_integration": _integral,
    "n_queens": _literal,
    "polynomial_multiplication": _polynomial,
    "puzzle24": _arithmetic,
    "simple_integration": _integral,
    "spiral_matrix": _literal,
    "string_insertion": _literal,
}
"""Generators whose scorers evaluate the answer: whether an answer may be given to them."""

ROWS: dict[str, Callable[[Entry], bool]] = {
    "bitwise_arithmetic": lambda entry: shifts(entry["metadata"]["problem"]),
    "intermediate_integration": lambda entry: _integral(entry["metadata"]["integrand"], entry),
    "number_sorting": lambda entry: literal(entry["answer"]),
    "simple_integration": lambda entry: _integral(entry["metadata"]["integrand"], entry),
}
"""Generators whose scorers evaluate a part of the row: whether the row may be given to them."""

OWN_TEXT = ("basic_arithmetic", "codeio", "propositional_logic")
"""Generators that evaluate while they make a task what they wrote themselves, or parse answers without running them."""

CALLS = {"eval", "exec", "compile", "__import__", "parse_expr", "sympify", "parse_latex", "parse_mathematica"}


def evaluating_calls(source: str) -> set[str]:
    """The functions called in Python ``source`` that run text as code; ``re.compile`` is none of them.

    >>> evaluating_calls("import re; re.compile('a'); sympy.parse_expr(text)")
    {'parse_expr'}
    """
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {function.id for function in called if isinstance(function, ast.Name)}
    attributes = {function.attr for function in called if isinstance(function, ast.Attribute)} - {"compile"}
    return (names | attributes) & CALLS


def is_known(name: str, source: str) -> bool:
    """Whether it is known what the generator ``name``, of a module with this ``source``, evaluates, if anything."""
    return name in {*ANSWERS, *ROWS, *OWN_TEXT} or not evaluating_calls(source)


def row_fits(name: str, entry: Entry) -> bool:
    """Whether what the scorer of ``name`` evaluates of the row fits its grammar, the row's own answer included."""
    try:
        own = name not in ANSWERS or ANSWERS[name](entry["answer"], entry)
        return own and (name not in ROWS or ROWS[name](entry))
    except (KeyError, TypeError, AttributeError):
        return False


def answer_fits(name: str, answer: str, entry: Entry) -> bool:
    """Whether ``answer`` may be given to the scorer of ``name``."""
    return name not in ANSWERS or ANSWERS[name](answer, entry)
