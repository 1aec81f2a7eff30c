"""Polynomials in x and y written as text, such as (x^2 - y^3)^2 + 1/2*x*y^4."""

import ast
from collections.abc import Mapping
from fractions import Fraction

from slt.errors import InputError

Terms = Mapping[tuple[int, int], Fraction]

_LARGEST_DEGREE = 200
"""Beyond which multiplying out takes minutes."""

_GRAMMAR = "polynomial, as text, is made of x, y, integers, +, -, *, ^ and parentheses, as in (x^2 - y^3)^2 + 1/2*x*y^4"


def parse(text: str) -> Terms:
    """Multiply the expression out.

    Args:
        text: Of x, y and integers, with +, -, *, / by a number, ^ or ** to an integer, and parentheses.

    Returns:
        {(i, j): c}, without terms that are 0.

    Raises:
        InputError: If it is anything else, or of a degree above 200.

    >>> parse("(x + 1/2*y)^2") == {(2, 0): 1, (1, 1): 1, (0, 2): Fraction(1, 4)}
    True
    """
    try:
        return _value(ast.parse(text.strip().replace("^", "**"), mode="eval").body)
    except (SyntaxError, _UnknownError) as failure:
        raise InputError(f"{_GRAMMAR}; got {text!r}.") from failure


class _UnknownError(Exception):
    """Something that is no polynomial."""


def _value(node: ast.expr) -> Terms:
    match node:
        case ast.Name(id="x"):
            return {(1, 0): Fraction(1)}
        case ast.Name(id="y"):
            return {(0, 1): Fraction(1)}
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return {(0, 0): Fraction(number)} if number else {}
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _times(_value(inner), {(0, 0): Fraction(-1)})
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _plus(_value(left), _value(right))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _plus(_value(left), _times(_value(right), {(0, 0): Fraction(-1)}))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _times(_value(left), _value(right))
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=int() as number)) if number:
            return _times(_value(left), {(0, 0): Fraction(1, number)})
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
            return _power(_value(left), power)
        case _:
            raise _UnknownError


def _plus(p: Terms, q: Terms) -> Terms:
    total = {point: p.get(point, Fraction(0)) + q.get(point, Fraction(0)) for point in {**p, **q}}
    return {point: c for point, c in total.items() if c}


def _times(p: Terms, q: Terms) -> Terms:
    if _degree(p) + _degree(q) > _LARGEST_DEGREE:
        raise InputError(f"polynomial, as text, must have a degree of at most {_LARGEST_DEGREE}.")
    out: dict[tuple[int, int], Fraction] = {}
    for (i, j), c in p.items():
        for (k, m), d in q.items():
            out[i + k, j + m] = out.get((i + k, j + m), Fraction(0)) + c * d
    return {point: c for point, c in out.items() if c}


def _power(p: Terms, power: int) -> Terms:
    if power > _LARGEST_DEGREE:
        raise InputError(f"polynomial, as text, must have powers of at most {_LARGEST_DEGREE}, got {power}.")
    out: Terms = {(0, 0): Fraction(1)}
    for _ in range(power):
        out = _times(out, p)
    return out


def _degree(p: Terms) -> int:
    return max((i + j for i, j in p), default=0)
