"""A compiled piece of an expression, and the error of what is none."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from diagnostics.expression.frame import Frame
from models.grid import Floats

Kind = Literal["number", "condition"]


class ExpressionError(Exception):
    """An expression is not one; the message says why, and names the nearest known name."""


@dataclass(frozen=True, slots=True)
class Part:
    """A number or a condition, and how it is computed.

    ``unit`` is a number's (``None``: plain, it goes with any), ``days`` how many days it looks at, today included.
    A ``deviation`` is a number that is zero where all is as it should be.
    """

    kind: Kind
    evaluate: Callable[[Frame], Floats]
    unit: str | None = None
    days: int = 1
    deviation: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """A number that an expression reads, as evidence: its text in the expression, and how to compute it."""

    text: str
    evaluate: Callable[[Frame], Floats]
    deviation: bool = False


def longest(parts: Iterable[Part]) -> int:
    """Return how many days several parts look at together."""
    return max(part.days for part in parts)


def shown(node: ast.AST) -> str:
    """Return a piece of an expression as a message quotes it."""
    return repr(ast.unparse(node)[:60])
