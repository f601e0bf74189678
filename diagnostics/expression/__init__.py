"""The language of ``when``: comparisons of a day's columns, three-valued, evaluated on whole panels.

Python's own parser reads it (``text``), and a whitelist of its nodes is compiled (``compiler``) into functions of a
panel (``frame``): nothing else of Python can be reached. A number that is not known is NaN, a condition that is not
known is ``pd.NA``; ``and``, ``or`` and ``not`` follow Kleene's strong logic, so "not reported" neither fires nor
clears.
"""

from diagnostics.expression.arguments import MAX_DAYS
from diagnostics.expression.compiler import Expression, compile_expression
from diagnostics.expression.frame import Frame
from diagnostics.expression.functions import DAYS_SINCE, FUNCTIONS
from diagnostics.expression.part import ExpressionError, Term
from diagnostics.expression.scope import Scope
from diagnostics.expression.text import MAX_DEPTH, MAX_LENGTH, MAX_NODES

__all__ = [
    "DAYS_SINCE",
    "FUNCTIONS",
    "MAX_DAYS",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_NODES",
    "Expression",
    "ExpressionError",
    "Frame",
    "Scope",
    "Term",
    "compile_expression",
]
