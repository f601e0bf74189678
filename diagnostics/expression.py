"""The language of ``when``: comparisons of a day's columns, three-valued, evaluated on whole panels.

Python's own parser reads it, and a whitelist of its nodes is compiled into functions of a panel: nothing else of Python
can be reached. A number that is not known is NaN, a condition that is not known is ``pd.NA``; ``and``, ``or`` and
``not`` follow Kleene's strong logic, so "not reported" neither fires nor clears.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.nearest import did_you_mean
from config.register import AssetType
from config.units import dimension
from models.features import STATISTICS
from models.grid import Grid

MAX_LENGTH = 2_000
MAX_DEPTH = 20
MAX_NODES = 300
MAX_DAYS = 60
DAYS_SINCE = 30
"""Days that ``days_since_fault`` looks back where it does not say."""

Floats = NDArray[np.float64]
Kind = Literal["number", "condition"]


class ExpressionError(Exception):
    """An expression is not one; the message says why, and names the nearest known name."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What names an expression may use: a type's signals and fault codes, and the detectors that score it."""

    asset_type: AssetType
    detectors: tuple[str, ...]

    def columns(self) -> Iterator[tuple[str, str | None]]:
        """Yield each column with its dimension (``None``: a plain number)."""
        for signal in self.asset_type.signals:
            for statistic in STATISTICS:
                yield f"{signal.name}.{statistic}", dimension(signal.unit)
                yield f"{signal.name}.{statistic}.own", None
                yield f"{signal.name}.{statistic}.peers", None
        yield from (("completeness", None), ("faults.count", None), ("faults.novel", None), ("exposure.hours", "time"))
        if self.asset_type.distance is not None:
            yield "exposure.distance", dimension(self.asset_type.signal[self.asset_type.distance].unit)

    def names(self) -> Iterator[str]:
        """Yield the name of everything that a panel can hold and an expression read, be it through a function."""
        yield from (name for name, _ in self.columns())
        yield from (f"faults.{code}.{what}" for code in self.asset_type.fault for what in ("count", "rate"))
        yield from (f"score.{name}" for name in (*self.detectors, "ensemble"))


@dataclass(frozen=True, slots=True)
class Term:
    """A number that an expression reads, as evidence: its text in the expression, and how to compute it."""

    text: str
    evaluate: Callable[[Frame], Floats]


class Frame:
    """A panel as an expression sees it: columns as arrays (assets, days), NaN where nothing is known."""

    def __init__(self, panel: pd.DataFrame) -> None:
        assert isinstance(panel.index, pd.MultiIndex)
        self._panel = panel
        self.index = panel.index
        self.grid = Grid.of(panel.index)
        self._columns: dict[str, Floats] = {}
        self._numbers: dict[str, Floats] = {}

    def column(self, name: str) -> Floats:
        """Return a column; one that the panel does not have is unknown throughout."""
        if name not in self._columns:
            found = self._panel[name] if name in self._panel else np.full(len(self._panel), np.nan)
            self._columns[name] = self.grid.spread(found)
        return self._columns[name]

    def number(self, term: Term) -> Floats:
        """Return what a term is worth everywhere; it is computed once."""
        if term.text not in self._numbers:
            with np.errstate(all="ignore"):
                self._numbers[term.text] = term.evaluate(self)
        return self._numbers[term.text]

    def place(self, row: tuple[str, pd.Timestamp]) -> tuple[int, int]:
        """Return where an asset-day stands in the arrays."""
        asset = self.grid.asset_ids.get_indexer(pd.Index([row[0]]))[0]
        return int(asset), int((np.datetime64(row[1], "D") - self.grid.first_day).astype(int))

    def gather_condition(self, values: Floats) -> pd.Series:
        """Return an array of 1, 0 and NaN as a nullable boolean column of the panel."""
        flat = self.grid.gather(values)
        return pd.Series(pd.arrays.BooleanArray(flat == 1, np.isnan(flat)), index=self.index)


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


@dataclass(frozen=True, slots=True)
class _Part:
    """A compiled piece: its kind, of a number its dimension (``None``: plain), and how many days it looks at."""

    kind: Kind
    evaluate: Callable[[Frame], Floats]
    dimension: str | None = None
    days: int = 1


def compile_expression(text: str, scope: Scope) -> Expression:
    """Compile a condition. Raises ``ExpressionError`` on anything but one."""
    tree = _parsed(text)
    compiler = _Compiler(scope)
    part = compiler.compile(tree)
    if part.kind != "condition":
        raise ExpressionError(f"{_shown(tree)} is a number; a rule needs a condition, such as a comparison")
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


_ASSIGNED = re.compile(r"(?<![=<>!])=(?!=)")
_DAYS = re.compile(r"\bdays\s*=")


def _parsed(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"is {len(text)} characters long, at most {MAX_LENGTH} are taken")
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ExpressionError(f"has brackets nested deeper than {MAX_DEPTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on Python is of no use here
            tree = ast.parse(" ".join(text.split()), mode="eval").body
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
    return tree


def _height(tree: ast.AST) -> int:
    level: list[ast.AST] = [tree]
    height = 0
    while level and height <= 3 * MAX_DEPTH:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        height += 1
    return height


def _shown(node: ast.AST) -> str:
    return repr(ast.unparse(node)[:60])


_COMPARISONS: Mapping[type[ast.cmpop], tuple[str, Callable[[Floats, Floats], NDArray[np.bool_]]]] = {
    ast.Gt: (">", np.greater),
    ast.GtE: (">=", np.greater_equal),
    ast.Lt: ("<", np.less),
    ast.LtE: ("<=", np.less_equal),
    ast.Eq: ("==", np.equal),
    ast.NotEq: ("!=", np.not_equal),
}
_ARITHMETIC: Mapping[type[ast.operator], tuple[str, Callable[[Floats, Floats], Floats]]] = {
    ast.Add: ("+", np.add),
    ast.Sub: ("-", np.subtract),
    ast.Mult: ("*", np.multiply),
    ast.Div: ("/", np.divide),
}


class _Compiler:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._columns = dict(scope.columns())
        self.terms: dict[str, Term] = {}
        self.fault_codes: set[str] = set()
        self.detectors: set[str] = set()
        self._functions: dict[str, Callable[[ast.Call], _Part]] = {
            "faults": self._faults,
            "rate": self._rate,
            "score": self._score,
            "days_since_fault": self._days_since_fault,
            "exposure": self._exposure,
            "mean": lambda call: self._over_days(call, _nanmean),
            "max": lambda call: self._over_days(call, _nanmax),
            "min": lambda call: self._over_days(call, _nanmin),
            "trend": lambda call: self._over_days(call, _slope),
            "count": self._count,
            "abs": self._abs,
            "known": self._known,
        }

    def compile(self, node: ast.expr) -> _Part:
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
        if isinstance(node, ast.Name | ast.Attribute):
            return self._column(node)
        if isinstance(node, ast.Constant):
            return self._constant(node)
        raise ExpressionError(f"{_shown(node)} is not part of the rule language")

    def _constant(self, node: ast.Constant) -> _Part:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ExpressionError(
                f"{_shown(node)} is no number; text stands only inside a function such as faults(...)"
            )
        try:
            value = float(node.value)
        except OverflowError:
            value = np.inf
        if not np.isfinite(value):
            raise ExpressionError(f"{_shown(node)} is too large")
        return _Part("number", lambda frame: np.full(frame.grid.shape, value))

    def _column(self, node: ast.expr) -> _Part:
        name = _dotted(node)
        if name not in self._columns:
            signal = name.partition(".")[0]
            signals = self._scope.asset_type.signal
            if signal not in signals and f"{signal}." not in " ".join(f"{c} " for c in self._columns):
                raise ExpressionError(f"unknown signal {signal!r}{did_you_mean(signal, signals)}")
            raise ExpressionError(f"unknown column {name!r}{did_you_mean(name, self._columns)}")
        part = _Part("number", lambda frame: frame.column(name), self._columns[name])
        self.terms[name] = Term(name, part.evaluate)
        return part

    def _logic(self, node: ast.BoolOp) -> _Part:
        parts = [self._condition(value) for value in node.values]
        # Kleene: "and" is False if one is, "or" is True if one is; else unknown if one is unknown.
        pick, fill = (np.minimum, 1.0) if isinstance(node.op, ast.And) else (np.maximum, 0.0)
        decided = 1.0 - fill

        def evaluate(frame: Frame) -> Floats:
            values = [part.evaluate(frame) for part in parts]
            result = values[0]
            for value in values[1:]:
                either = (result == decided) | (value == decided)
                result = np.where(either, decided, pick(result, value))
            return result

        return _Part("condition", evaluate, days=_longest(parts))

    def _unary(self, node: ast.UnaryOp) -> _Part:
        if isinstance(node.op, ast.Not):
            inner = self._condition(node.operand)
            return _Part("condition", lambda frame: 1.0 - inner.evaluate(frame), days=inner.days)
        if isinstance(node.op, ast.USub):
            number = self._number(node.operand)
            return _Part("number", lambda frame: -number.evaluate(frame), number.dimension, number.days)
        raise ExpressionError(f"{_shown(node)} is not part of the rule language")

    def _compare(self, node: ast.Compare) -> _Part:
        parts = [self._number(value) for value in [node.left, *node.comparators]]
        steps = []
        for left, operator, right in zip(parts, node.ops, parts[1:], strict=False):
            if type(operator) not in _COMPARISONS:
                raise ExpressionError(f"{_shown(node)}: this comparison is not part of the rule language")
            self._same_dimension(node, left, right)
            steps.append((left, _COMPARISONS[type(operator)][1], right))

        def evaluate(frame: Frame) -> Floats:
            result = np.ones(frame.grid.shape)
            for left, compare, right in steps:
                a, b = left.evaluate(frame), right.evaluate(frame)
                one = np.where(np.isnan(a) | np.isnan(b), np.nan, compare(a, b).astype(np.float64))
                result = np.where((result == 0) | (one == 0), 0.0, np.minimum(result, one))
            return result

        return _Part("condition", evaluate, days=_longest(parts))

    def _arithmetic(self, node: ast.BinOp) -> _Part:
        if type(node.op) not in _ARITHMETIC:
            raise ExpressionError(f"{_shown(node)}: this operator is not part of the rule language")
        left, right = self._number(node.left), self._number(node.right)
        apply = _ARITHMETIC[type(node.op)][1]
        if isinstance(node.op, ast.Add | ast.Sub):
            self._same_dimension(node, left, right)
            unit = left.dimension or right.dimension
        else:
            unit = None

        def evaluate(frame: Frame) -> Floats:
            value = apply(left.evaluate(frame), right.evaluate(frame))
            return np.where(np.isfinite(value), value, np.nan)  # 1/0 is not known, not infinite

        return _Part("number", evaluate, unit, _longest((left, right)))

    def _same_dimension(self, node: ast.expr, left: _Part, right: _Part) -> None:
        if left.dimension and right.dimension and left.dimension != right.dimension:
            raise ExpressionError(f"{_shown(node)} compares {left.dimension} with {right.dimension}")

    def _condition(self, node: ast.expr) -> _Part:
        part = self.compile(node)
        if part.kind != "condition":
            raise ExpressionError(f"{_shown(node)} is a number where a condition is needed")
        return part

    def _number(self, node: ast.expr) -> _Part:
        part = self.compile(node)
        if part.kind != "number":
            raise ExpressionError(f"{_shown(node)} is a condition where a number is needed")
        return part

    def _call(self, node: ast.Call) -> _Part:
        if not isinstance(node.func, ast.Name):
            raise ExpressionError(f"{_shown(node.func)} is not a function of the rule language")
        name = node.func.id
        if name not in self._functions:
            raise ExpressionError(f"unknown function {name!r}{did_you_mean(name, self._functions)}")
        for keyword in node.keywords:
            if keyword.arg != "days":
                raise ExpressionError(f"{name}() has no argument {str(keyword.arg)!r}; did you mean 'days'?")
        part = self._functions[name](node)
        if part.kind == "number" and name != "abs":
            text = ast.unparse(node)
            self.terms[text] = Term(text, part.evaluate)
        return part

    def _days(self, node: ast.Call, default: int | None) -> int:
        if len(node.keywords) > 1:
            raise ExpressionError(f"{_shown(node)} names days twice")
        for keyword in node.keywords:
            value = keyword.value
            days = value.value if isinstance(value, ast.Constant) else None
            if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MAX_DAYS:
                raise ExpressionError(f"{_shown(node)}: days must be a whole number from 1 to {MAX_DAYS}")
            return days
        if default is None:
            raise ExpressionError(f"{_shown(node)} needs days=...")
        return default

    def _one(self, node: ast.Call, what: str) -> ast.expr:
        if len(node.args) != 1:
            raise ExpressionError(f"{_shown(node)} needs {what}")
        return node.args[0]

    def _text(self, node: ast.Call, what: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
        argument = self._one(node, f"{what} in quotes")
        if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
            raise ExpressionError(f"{_shown(node)} needs {what} in quotes")
        if argument.value not in known:
            raise ExpressionError(
                f"unknown {what.split(maxsplit=1)[1]} {argument.value!r}{did_you_mean(argument.value, known)}"
            )
        return argument.value

    def _no_days(self, node: ast.Call) -> None:
        if node.keywords:
            raise ExpressionError(f"{_shown(node)} takes no days")

    def _fault_code(self, node: ast.Call) -> str:
        code = self._text(node, "a fault code", self._scope.asset_type.fault)
        self.fault_codes.add(code)
        return code

    def _faults(self, node: ast.Call) -> _Part:
        column, days = f"faults.{self._fault_code(node)}.count", self._days(node, 1)
        return _Part("number", lambda frame: _sum(frame.column(column), days), days=days)

    def _rate(self, node: ast.Call) -> _Part:
        self._no_days(node)
        column = f"faults.{self._fault_code(node)}.rate"
        return _Part("number", lambda frame: frame.column(column))

    def _score(self, node: ast.Call) -> _Part:
        self._no_days(node)
        name = self._text(node, "a detector", (*self._scope.detectors, "ensemble"))
        self.detectors.add(name)
        return _Part("number", lambda frame: frame.column(f"score.{name}"))

    def _days_since_fault(self, node: ast.Call) -> _Part:
        column, days = f"faults.{self._fault_code(node)}.count", self._days(node, DAYS_SINCE)
        return _Part("number", lambda frame: _days_since(frame.column(column), days), days=days)

    def _exposure(self, node: ast.Call) -> _Part:
        if node.args:
            raise ExpressionError(f"{_shown(node)} takes days=... alone")
        days = self._days(node, 1)
        return _Part("number", lambda frame: _sum(frame.column("exposure.hours"), days), "time", days)

    def _over_days(self, node: ast.Call, reduce: Callable[[Floats], Floats]) -> _Part:
        inner = self._number(self._one(node, "a column, and days=..."))
        days = self._days(node, None)
        return _Part(
            "number",
            lambda frame: _reduced(inner.evaluate(frame), days, reduce),
            inner.dimension,
            inner.days + days - 1,
        )

    def _count(self, node: ast.Call) -> _Part:
        inner = self._condition(self._one(node, "a condition, and days=..."))
        days = self._days(node, None)
        return _Part("number", lambda frame: _sum(inner.evaluate(frame), days), days=inner.days + days - 1)

    def _abs(self, node: ast.Call) -> _Part:
        self._no_days(node)
        inner = self._number(self._one(node, "a number"))
        return _Part("number", lambda frame: np.abs(inner.evaluate(frame)), inner.dimension, inner.days)

    def _known(self, node: ast.Call) -> _Part:
        self._no_days(node)
        inner = self._number(self._one(node, "a column"))
        return _Part("condition", lambda frame: np.isfinite(inner.evaluate(frame)).astype(np.float64), days=inner.days)


def _longest(parts: Iterable[_Part]) -> int:
    return max(part.days for part in parts)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise ExpressionError(f"{_shown(node)} is not part of the rule language")


def _last_days(values: Floats, days: int) -> Floats:
    """Return (assets, days of the panel, ``days``): each day with the days before it, oldest first."""
    padded = np.pad(values, ((0, 0), (days - 1, 0)), constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, days, axis=1)


def _sum(values: Floats, days: int) -> Floats:
    """Sum of the known days; unknown where today is. A day that did not report counts as nothing."""
    if days == 1:
        return values
    # From the oldest day on, and not as a difference of running totals: the same wherever the panel begins.
    padded = np.pad(np.nan_to_num(values), ((0, 0), (days - 1, 0)))
    total = padded[:, : values.shape[1]].copy()
    for later in range(1, days):
        total += padded[:, later : later + values.shape[1]]
    return np.where(np.isnan(values), np.nan, total)


def _reduced(values: Floats, days: int, reduce: Callable[[Floats], Floats]) -> Floats:
    """A statistic of the last days; unknown where today is, or less than half of them are known."""
    window = _last_days(values, days)
    known = np.isfinite(window).sum(axis=2)
    enough = np.isfinite(values) & (known * 2 >= days)
    result = np.full(values.shape, np.nan)
    if enough.any():
        result[enough] = reduce(window[enough])
    return result


def _nanmean(window: Floats) -> Floats:
    return np.asarray(np.nanmean(window, axis=1))


def _nanmax(window: Floats) -> Floats:
    return np.asarray(np.nanmax(window, axis=1))


def _nanmin(window: Floats) -> Floats:
    return np.asarray(np.nanmin(window, axis=1))


def _slope(window: Floats) -> Floats:
    """Least squares slope per day over the known days."""
    known = np.isfinite(window)
    day = np.where(known, np.arange(window.shape[1], dtype=np.float64), np.nan)
    day = day - np.nanmean(day, axis=1, keepdims=True)
    value = window - np.nanmean(window, axis=1, keepdims=True)
    spread = np.nansum(day**2, axis=1)
    return np.asarray(np.where(spread > 0, np.nansum(day * value, axis=1) / spread, np.nan))


def _days_since(counts: Floats, days: int) -> Floats:
    """Days since it last happened, 0 if today; unknown where today is, or where it did not in the last ``days``."""
    place = np.arange(counts.shape[1])
    last = np.maximum.accumulate(np.where(counts > 0, place, -days), axis=1)
    ago = place - last
    return np.where(np.isnan(counts) | (ago >= days), np.nan, ago.astype(np.float64))
