"""The command line of `slt.analytic`: one subcommand per family, with options read from the function's signature."""

import argparse
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from inspect import Parameter, getdoc, signature
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from slt.analytic.families import GROUPS


def add_families(parser: argparse.ArgumentParser, output: argparse.ArgumentParser) -> None:
    """Add a subcommand to `parser` for every family; the parsed arguments name the family.

    Args:
        parser: The parser of ``slt exact``.
        output: The options common to all families.
    """
    families = parser.add_subparsers(dest="family", required=True, metavar="FAMILY")
    for group in GROUPS.values():
        for function in group:
            summary = _plain(_documented(function)[0])
            added = families.add_parser(
                function.__name__.replace("_", "-"), help=summary, description=summary, parents=[output]
            )
            # so that -1/2 and -1,1 are values, as -1 is
            added._negative_number_matcher = re.compile(r"-[\d.][\d/.,-]*$")
            _add_arguments(added, function)
            added.set_defaults(family=function.__name__)


def chosen_arguments(chosen: argparse.Namespace, function: Callable[..., Any]) -> dict[str, Any]:
    """Return a family's keyword arguments; those not given keep their defaults.

    Args:
        chosen: The parsed arguments.
        function: The family.

    Returns:
        The arguments by name.
    """
    given = {name: getattr(chosen, name) for name in signature(function).parameters}
    return {name: tuple(x) if isinstance(x, list) else x for name, x in given.items() if x is not None}


def _add_arguments(parser: argparse.ArgumentParser, function: Callable[..., Any]) -> None:
    hints, texts = get_type_hints(function), _documented(function)[1]
    for name, parameter in signature(function).parameters.items():
        option = f"--{name.replace('_', '-')}"
        help = _plain(texts[name]).replace("%", "%%")
        parser.add_argument(option, dest=name, help=help, **_reading(hints[name], parameter))


def _reading(hint: Any, parameter: Parameter) -> dict[str, Any]:
    """The arguments of argparse that read a value of this type."""
    if hint is bool:
        action = argparse.BooleanOptionalAction if parameter.default else "store_true"
        return {"action": action, "default": None}
    required = {"required": parameter.default is Parameter.empty}
    if str in _members(hint):
        return {"metavar": "TEXT", **required}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint), **required}
    parts = _members(hint)
    inner = [member for part in parts if _is_sequence(part) for member in get_args(part)]
    if not inner:
        return {"type": _number(parts), "metavar": "NUMBER", **required}
    vectors = [member for part in inner if _is_sequence(part) for member in get_args(part)]
    if vectors:
        return {"type": _vector(_number(_all(vectors))), "nargs": "+", "metavar": "N,N,...", **required}
    return {"type": _number(_all(inner)), "nargs": "+", "metavar": "NUMBER", **required}


def _members(hint: Any) -> list[Any]:
    """The types of a union, or the one type."""
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]


def _all(hints: Sequence[Any]) -> list[Any]:
    return [member for hint in hints for member in _members(hint)]


def _is_sequence(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _number(types: Sequence[Any]) -> Callable[[str], int | Fraction | float]:
    """Return a reader of ints, and where the types allow it of fractions such as 1/2, or of floats."""
    if float in types:
        return float
    if Fraction not in types:
        return int

    def fraction(text: str) -> int | Fraction:
        value = Fraction(text)
        return int(value) if value.denominator == 1 else value

    return fraction


def _vector(number: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Return a reader of numbers separated by commas."""

    def vector(text: str) -> tuple[Any, ...]:
        return tuple(number(word) for word in text.split(","))

    return vector


def _documented(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The first paragraph of a docstring, and its text on each argument."""
    text = getdoc(function) or ""
    arguments = re.search(r"^Args:\n(.*?)\n(?=\S|\Z)", text, flags=re.M | re.S)
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", arguments[1] if arguments else "", flags=re.M | re.S)
    return text.partition("\n\n")[0], {name: " ".join(words.split()) for name, words in found}


def _plain(text: str) -> str:
    """Remove the markup of names and formulas, for a terminal."""
    text = re.sub(r":math:|`|\\[bB]ig", "", " ".join(text.split()))
    for name, sign in ((r"\|", "||"), (r"\cdots", "..."), (r"\top", "T"), (r"\cdot", "."), (r"\ge", ">=")):
        text = text.replace(name, sign)
    return re.sub(r"\\[,;]?", "", text)
