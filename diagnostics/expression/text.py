"""From the text of an expression to its tree: bounded in length, depth and size before anything looks at it.

``90 degC`` is a number with its unit, which Python does not know: the unit is taken out before Python's parser reads
the text, and the number becomes a name in the tree that ``Tree.quantities`` explains.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from config.nearest import did_you_mean
from config.units import UNITS
from diagnostics.expression.part import ExpressionError
from diagnostics.expression.scope import SIGMA

MAX_LENGTH = 2_000
MAX_DEPTH = 20
MAX_NODES = 300


class Quantity(NamedTuple):
    """A number that is written with its unit."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of an expression; ``quantities`` are the names in it that are numbers with a unit."""

    root: ast.expr
    quantities: Mapping[str, Quantity]


def parsed(text: str) -> Tree:
    """Read an expression. Raises ``ExpressionError``."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"is {len(text)} characters long, at most {MAX_LENGTH} are taken")
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ExpressionError(f"has brackets nested deeper than {MAX_DEPTH}")
    plain, quantities = _without_units(" ".join(text.split()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on Python is of no use here
            tree = ast.parse(plain, mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise ExpressionError(f"has more than {MAX_NODES} parts")
        if _height(tree) > 3 * MAX_DEPTH:
            raise ExpressionError(f"is nested deeper than {MAX_DEPTH}")
    except SyntaxError as error:
        hint = " (compare with ==)" if _ASSIGNED.search(_DAYS.sub("", text)) else ""
        place = f"at character {error.offset}" if error.offset else "to its end"
        raise ExpressionError(f"cannot be read {place}: {error.msg}{hint}") from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise ExpressionError(f"cannot be read: {type(error).__name__}") from None
    named = _Naming(quantities)
    return Tree(named.visit(tree), named.found)


_ASSIGNED = re.compile(r"(?<![=<>!])=(?!=)")
_DAYS = re.compile(r"\bdays\s*=")


def _height(tree: ast.AST) -> int:
    level: list[ast.AST] = [tree]
    height = 0
    while level and height <= 3 * MAX_DEPTH:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        height += 1
    return height


_KNOWN_UNITS = sorted({symbol for symbols in UNITS.values() for symbol in symbols} - {"1"} | {SIGMA}, key=len)[::-1]
# A text in quotes is passed over; a unit may be per hour or per day, as a trend is.
_NUMBER_AND_UNIT = re.compile(
    r"""(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?<![\w.])(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"""
    rf"""(?:(?P<gap>\s*)(?P<unit>(?:{"|".join(map(re.escape, _KNOWN_UNITS))})(?:/[hd])?)(?![\w/.(])"""
    r"""|\s+(?P<word>[A-Za-z_][\w/.]*))"""
)


def _without_units(text: str) -> tuple[str, dict[int, str]]:
    """Return the text with blanks for its units, as long as before, and each unit by the place (byte) of its number."""
    units: dict[int, str] = {}

    def blanked(match: re.Match[str]) -> str:
        word, unit = match["word"], match["unit"]
        if word is not None and not keyword.iskeyword(word):
            raise ExpressionError(
                f"unknown unit {word[:40]!r} after {match['number'][:40]}{did_you_mean(word, _KNOWN_UNITS)}"
            )
        if unit is None or (not match["gap"] and unit != "%"):
            return match[0]
        units[len(text[: match.start()].encode(errors="surrogatepass"))] = unit
        return match["number"] + " " * (len(match[0]) - len(match["number"]))

    return _NUMBER_AND_UNIT.sub(blanked, text), units


class _Naming(ast.NodeTransformer):
    """Turns numbers that had a unit into names, such as ``90 degC``, that no text can write."""

    def __init__(self, units: Mapping[int, str]) -> None:
        self._units = units
        self.found: dict[str, Quantity] = {}

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        unit = self._units.get(node.col_offset)
        if unit is None or isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return node
        name = f"{node.value!r} {unit}"
        self.found[name] = Quantity(node.value, unit)
        return ast.copy_location(ast.Name(name), node)
