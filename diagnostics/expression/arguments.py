"""The arguments of a function call: each is read once, and what is missing or too much is told."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from config.nearest import did_you_mean
from diagnostics.expression.part import ExpressionError, Kind, Part, shown
from diagnostics.expression.scope import Scope

MAX_DAYS = 60


class Arguments:
    """What stands in the brackets of a call; ``compile`` makes parts of what is inside.

    ``fault_codes`` and ``detectors`` are filled with the names that were read. Every method raises
    ``ExpressionError``.
    """

    def __init__(self, call: ast.Call, name: str, scope: Scope, compile: Callable[[ast.expr, Kind], Part]) -> None:
        self.call, self.name, self.scope, self._compile = call, name, scope, compile
        self.fault_codes: set[str] = set()
        self.detectors: set[str] = set()
        for keyword in call.keywords:
            if keyword.arg != "days":
                raise ExpressionError(f"{name}() has no argument {str(keyword.arg)!r}; did you mean 'days'?")
        if len(call.keywords) > 1:
            raise ExpressionError(f"{shown(call)} names days twice")

    def days(self, default: int | None = None) -> int:
        """Return ``days=``, or the default; without one it must be there."""
        for keyword in self.call.keywords:
            value = keyword.value
            days = value.value if isinstance(value, ast.Constant) else None
            if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MAX_DAYS:
                raise ExpressionError(f"{shown(self.call)}: days must be a whole number from 1 to {MAX_DAYS}")
            return days
        if default is None:
            raise ExpressionError(f"{shown(self.call)} needs days=...")
        return default

    def no_days(self) -> None:
        """Refuse ``days=``."""
        if self.call.keywords:
            raise ExpressionError(f"{shown(self.call)} takes no days")

    def nothing_but_days(self) -> None:
        """Refuse everything else."""
        if self.call.args:
            raise ExpressionError(f"{shown(self.call)} takes days=... alone")

    def number(self, what: str = "a column, and days=...") -> Part:
        """Return the one argument, a number."""
        return self._compile(self._one(what), "number")

    def condition(self) -> Part:
        """Return the one argument, a condition."""
        return self._compile(self._one("a condition, and days=..."), "condition")

    def fault_code(self) -> str:
        """Return the one argument, a fault code of the type."""
        code = self._name(self._one("a fault code in quotes"), "a fault code", self.scope.asset_type.fault)
        self.fault_codes.add(code)
        return code

    def several_fault_codes(self, most: int) -> tuple[str, ...]:
        """Return two fault codes or more."""
        if not 2 <= len(self.call.args) <= most:
            raise ExpressionError(f"{shown(self.call)} needs 2 to {most} fault codes in quotes")
        codes = tuple(self._name(node, "a fault code", self.scope.asset_type.fault) for node in self.call.args)
        self.fault_codes.update(codes)
        return codes

    def detector(self) -> str:
        """Return the one argument, a detector or ``ensemble``."""
        known = (*self.scope.detectors, "ensemble")
        name = self._name(self._one("a detector in quotes"), "a detector", known)
        self.detectors.add(name)
        return name

    def component(self) -> str:
        """Return the one argument, a component of the type."""
        asset_type = self.scope.asset_type
        node = self._one("a component in quotes")
        if not asset_type.components:
            raise ExpressionError(f"{shown(self.call)}: asset type {asset_type.id!r} names no components")
        return self._name(node, "a component", asset_type.components)

    def _one(self, what: str) -> ast.expr:
        if len(self.call.args) != 1:
            raise ExpressionError(f"{shown(self.call)} needs {what}")
        return self.call.args[0]

    def _name(self, node: ast.expr, what: str, known: Iterable[str]) -> str:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise ExpressionError(f"{shown(self.call)} needs {what} in quotes")
        if node.value not in known:
            kind = what.split(maxsplit=1)[1]
            raise ExpressionError(f"unknown {kind} {node.value[:60]!r}{did_you_mean(node.value, known)}")
        return node.value
