"""From the tree of an expression to a function of a panel. What is not on the whitelist of nodes is refused."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.nearest import did_you_mean
from config.units import UNITS, dimension
from diagnostics.expression.arguments import MAX_DAYS, Arguments
from diagnostics.expression.frame import Frame
from diagnostics.expression.functions import FUNCTIONS
from diagnostics.expression.part import ExpressionError, Kind, Part, Term, longest, shown
from diagnostics.expression.scope import Scope
from diagnostics.expression.text import Quantity, parsed
from models.grid import Floats


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled condition.

    ``terms`` are the numbers that it compares, in the order of its text; ``fault_codes`` are the codes that it counts;
    ``detectors`` are those whose scores it reads; ``days`` is how many days it looks at, today included.
    """

    text: str
    scope: Scope
    terms: tuple[Term, ...]
    fault_codes: tuple[str, ...]
    detectors: tuple[str, ...]
    days: int
    _evaluate: Callable[[Frame], Floats]

    def evaluate(self, frame: Frame) -> Floats:
        """Return 1 where the condition holds, 0 where not, NaN where it is not known."""
        with np.errstate(all="ignore"):
            return self._evaluate(frame)


def compile_expression(text: str, scope: Scope) -> Expression:
    """Compile a condition. Raises ``ExpressionError`` on anything but one."""
    tree = parsed(text)
    compiler = _Compiler(scope, tree.quantities)
    part = compiler.compile(tree.root)
    if part.kind != "condition":
        raise ExpressionError(f"{shown(tree.root)} is a number; a rule needs a condition, such as a comparison")
    if part.days > MAX_DAYS:
        raise ExpressionError(f"looks at {part.days} days, at most {MAX_DAYS} are kept")
    return Expression(
        text,
        scope,
        tuple(compiler.terms.values()),
        tuple(sorted(compiler.fault_codes)),
        tuple(sorted(compiler.detectors)),
        part.days,
        part.evaluate,
    )


_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Floats, Floats], NDArray[np.bool_]]] = {
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


class _Compiler:
    def __init__(self, scope: Scope, quantities: Mapping[str, Quantity]) -> None:
        self._scope, self._quantities = scope, quantities
        self._columns = dict(scope.columns())
        self.terms: dict[str, Term] = {}
        self.fault_codes: set[str] = set()
        self.detectors: set[str] = set()

    def compile(self, node: ast.expr, kind: Kind | None = None) -> Part:
        """Compile a piece, which must be of the ``kind`` that is asked for."""
        part = self._compiled(node)
        if kind is not None and part.kind != kind:
            raise ExpressionError(f"{shown(node)} is a {part.kind} where a {kind} is needed")
        return part

    def _compiled(self, node: ast.expr) -> Part:
        if isinstance(node, ast.BoolOp):
            return self._logic(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Name) and node.id in self._quantities:
            quantity = self._quantities[node.id]
            return _constant(node, quantity.value, quantity.unit)
        if isinstance(node, ast.Name | ast.Attribute):
            return self._column(node)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                raise ExpressionError(
                    f"{shown(node)} is no number; text stands only inside a function such as faults(...)"
                )
            return _constant(node, node.value, None)
        raise ExpressionError(f"{shown(node)} is not part of the rule language")

    def _column(self, node: ast.expr) -> Part:
        name = _dotted(node)
        if name not in self._columns:
            signal = name.partition(".")[0]
            signals = self._scope.asset_type.signal
            if signal not in signals and not any(column.startswith(f"{signal}.") for column in self._columns):
                raise ExpressionError(f"unknown signal {signal!r}{did_you_mean(signal, signals)}")
            raise ExpressionError(f"unknown column {name!r}{did_you_mean(name, self._columns)}")
        deviation = name.endswith((".own", ".peers"))
        part = Part("number", lambda frame: frame.column(name), self._columns[name], deviation=deviation)
        self.terms[name] = Term(name, part.evaluate, deviation)
        return part

    def _logic(self, node: ast.BoolOp) -> Part:
        parts = [self.compile(value, "condition") for value in node.values]
        # Kleene: "and" is False if one is, "or" is True if one is; else unknown if one is unknown.
        pick, decided = (np.minimum, 0.0) if isinstance(node.op, ast.And) else (np.maximum, 1.0)

        def evaluate(frame: Frame) -> Floats:
            result = parts[0].evaluate(frame)
            for part in parts[1:]:
                value = part.evaluate(frame)
                result = np.where((result == decided) | (value == decided), decided, pick(result, value))
            return result

        return Part("condition", evaluate, days=longest(parts))

    def _unary(self, node: ast.UnaryOp) -> Part:
        if isinstance(node.op, ast.Not):
            inner = self.compile(node.operand, "condition")
            return Part("condition", lambda frame: 1.0 - inner.evaluate(frame), days=inner.days)
        if isinstance(node.op, ast.USub):
            number = self.compile(node.operand, "number")
            return Part("number", lambda frame: -number.evaluate(frame), number.unit, number.days, number.deviation)
        raise ExpressionError(f"{shown(node)} is not part of the rule language")

    def _compare(self, node: ast.Compare) -> Part:
        parts = [self.compile(value, "number") for value in [node.left, *node.comparators]]
        steps = []
        for left, operator, right in zip(parts, node.ops, parts[1:], strict=False):
            if type(operator) not in _COMPARISONS:
                raise ExpressionError(f"{shown(node)}: this comparison is not part of the rule language")
            _same_unit(node, left, right)
            steps.append((_COMPARISONS[type(operator)], right))

        def evaluate(frame: Frame) -> Floats:
            result = np.ones(frame.grid.shape)
            left = parts[0].evaluate(frame)
            for compare, part in steps:  # each part once, however comparisons are nested
                right = part.evaluate(frame)
                one = np.where(np.isnan(left) | np.isnan(right), np.nan, compare(left, right).astype(np.float64))
                result = np.where((result == 0) | (one == 0), 0.0, np.minimum(result, one))
                left = right
            return result

        return Part("condition", evaluate, days=longest(parts))

    def _arithmetic(self, node: ast.BinOp) -> Part:
        if type(node.op) not in _ARITHMETIC:
            raise ExpressionError(f"{shown(node)}: this operator is not part of the rule language")
        left, right = self.compile(node.left, "number"), self.compile(node.right, "number")
        apply = _ARITHMETIC[type(node.op)]
        unit = None
        if isinstance(node.op, ast.Add | ast.Sub):
            _same_unit(node, left, right)
            unit = left.unit or right.unit

        def evaluate(frame: Frame) -> Floats:
            value = apply(left.evaluate(frame), right.evaluate(frame))
            return np.where(np.isfinite(value), value, np.nan)  # 1/0 is not known, not infinite

        return Part("number", evaluate, unit, longest((left, right)))

    def _call(self, node: ast.Call) -> Part:
        if not isinstance(node.func, ast.Name):
            raise ExpressionError(f"{shown(node.func)} is not a function of the rule language")
        name = node.func.id
        if name not in FUNCTIONS:
            raise ExpressionError(f"unknown function {name!r}{did_you_mean(name, FUNCTIONS)}")
        given = Arguments(node, name, self._scope, self.compile)
        part = FUNCTIONS[name](given)
        self.fault_codes |= given.fault_codes
        self.detectors |= given.detectors
        if part.kind == "number" and name != "abs":
            text = ast.unparse(node)
            self.terms[text] = Term(text, part.evaluate, part.deviation)
        return part


def _constant(node: ast.expr, value: float, unit: str | None) -> Part:
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ExpressionError(f"{shown(node)} is too large")
    return Part("number", lambda frame: np.full(frame.grid.shape, number), unit)


def _same_unit(node: ast.expr, left: Part, right: Part) -> None:
    if left.unit and right.unit and left.unit != right.unit:
        ours, theirs = _quantity(left.unit), _quantity(right.unit)
        if ours == theirs:
            ours, theirs = left.unit, right.unit
        raise ExpressionError(f"{shown(node)} compares {ours} with {theirs}")


def _quantity(unit: str) -> str:
    """What is measured in a unit: ``temperature`` in ``degC``; what has no name is called by its unit."""
    return dimension(unit) if any(unit in symbols for symbols in UNITS.values()) else unit


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise ExpressionError(f"{shown(node)} is not part of the rule language")
