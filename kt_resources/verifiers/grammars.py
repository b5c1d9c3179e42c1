"""What scorers of reasoning-gym that evaluate text may be given.

Some run ``eval`` or sympy's ``parse_expr`` over the answer, or over a part of the row, in this process. Whatever they
evaluate must fit a grammar here first: literals, numbers, or arithmetic with few names and no power that explodes.
"""

import ast
import re
from collections.abc import Collection

MAX_CHARS = 20_000
MAX_EXPONENT = 99
"""Of a variable alone ten times as much."""
MAX_SIZE = 1_000
"""Digits of a number, or degree of a term, that an expression may come to when it is multiplied out."""

PLAIN = re.compile(r"[A-Z0-9_\s]*", re.ASCII)
NUMBER = re.compile(r"[-+]?(\d{1,50} ?/ ?\d{1,50}|(\d{1,50}(\.\d{0,50})?|\.\d{1,50})(e[-+]?\d{1,3})?)", re.ASCII | re.I)
EXPRESSION = re.compile(r"(?:[A-Za-z_]\w*+|\d{1,200}(?:\.\d{1,200})?(?![\w.])|[-+*/(), ])*", re.ASCII)
SHIFTS = re.compile(r"(?:[()\s+-]|0x[0-9a-f]{1,8}\b|(?<!\*)\*(?!\*)|(?:<<|>>)\s*0x[0-9a-f]\s*\))*", re.ASCII)

ELEMENTARY = ("sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh")
FUNCTIONS = {*ELEMENTARY, "exp", "log", "ln", "sqrt"}


def literal(text: str) -> bool:
    """Whether ``text`` is a Python literal, or capital letters, digits and spaces alone, which mean nothing as code."""
    if PLAIN.fullmatch(text):
        return True
    if len(text) > MAX_CHARS:
        return False
    try:
        ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def number(text: str) -> bool:
    """Whether ``text`` is a decimal number or a fraction, of at most 50 digits a part and 3 in the exponent."""
    return NUMBER.fullmatch(text.replace(",", "").strip()) is not None


def shifts(text: str) -> bool:
    """Whether ``text`` is arithmetic over hexadecimal numbers, shifted in parentheses and by at most 15."""
    return SHIFTS.fullmatch(text) is not None


def expression(text: str, names: Collection[str] = (), functions: Collection[str] = (), powers: bool = True) -> bool:
    """Whether ``text`` is arithmetic over numbers, ``names`` and ``functions``, none but ``sqrt`` inside another.

    >>> expression("3*(x + 1)**2", ["x"]), expression("2**(2**40)"), expression("(9**99)**99"), expression("exit()")
    (True, False, False, False)
    """
    if len(text) > MAX_CHARS or not EXPRESSION.fullmatch(text):
        return False
    try:
        return _size(ast.parse(text.strip(), mode="eval").body, names, functions, powers) <= MAX_SIZE
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _size(node: ast.expr, names: Collection[str], functions: Collection[str], powers: bool) -> int:
    """A bound on the digits and the degree of what ``node`` comes to; ValueError where it has no place here."""

    def size(part: ast.expr, allowed: Collection[str] = functions) -> int:
        return _size(part, names, allowed, powers)

    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return len(repr(value))
        case ast.Name(id=name) if name in names:
            return 1
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part):
            return size(part)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return max(size(left), size(right))
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div(), right=right):
            return size(left) + size(right)
        case ast.BinOp(left=left, op=ast.Pow(), right=right) if powers:
            return size(left) * _exponent(right, 10 * MAX_EXPONENT if isinstance(left, ast.Name) else MAX_EXPONENT)
        case ast.Call(func=ast.Name(id="Integral"), args=[part, ast.Name(id=name)]) if "Integral" in functions:
            return size(part, FUNCTIONS) if name in names else MAX_SIZE + 1
        case ast.Call(func=ast.Name(id=name), args=[part], keywords=[]) if name in functions and name != "Integral":
            return size(part, {"sqrt"})
    raise ValueError("no part of this grammar")


def _exponent(node: ast.expr, most: int) -> int:
    match node:
        case ast.Constant(value=value) if type(value) is int and value <= most:
            return max(1, value)
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return _exponent(part, most)
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant() as right):
            return max(_exponent(left, most), _exponent(right, most))
    raise ValueError("no number, or one too large, as an exponent")
