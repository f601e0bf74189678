"""Hostile rules: whatever stands in a file is refused or evaluated, in bounded time and memory, and touches nothing.

``FLEETDX_FUZZ=N`` (``make fuzz``) tries N of each kind.
"""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rule_scope import FIRST, SCOPE
from small_fleet import RULES, knowledge, register

from config.knowledge import Knowledge
from config.register import Register
from config.source import ConfigError
from diagnostics.expression import FUNCTIONS, MAX_LENGTH, ExpressionError, Frame, compile_expression
from diagnostics.rules import load
from models.panel import panel_index

TRIES = int(os.environ.get("FLEETDX_FUZZ", "0"))
FORBIDDEN = ("import", "exec", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pickle.")
_watching: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is not None and event.startswith((*FORBIDDEN, "open")):
        _watching.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_watch)  # it stays for the process, and says nothing unless a test listens


@contextmanager
def touching_nothing(*allowed: str) -> Iterator[None]:
    """Fail where the block imports, opens, starts or connects to anything but what is ``allowed``."""
    global _watching
    _watching = []
    try:
        yield
        touched = [event for event in _watching if not any(part in event for part in allowed)]
    finally:
        _watching = None
    assert touched == []


# A grammar of all that the language has, and of much that it has not; sizes run up to the limits and beyond.
NAMES = [*(name for name, _ in SCOPE.columns()), "completeness", "nothing.mean", "a.__class__", "hot.max.own.own", "os"]
CODES = ['"F1"', "'F2'", '"seal"', '"pca"', '"../../etc/passwd"', '"\\x00"', "F1", "1"]
UNITS = ["", " degC", " sigma", " d", " h", "%", " km/h", " degC/d", " count/h", " parsec", " 1"]
NUMBERS = ["0", "1", "-1", "1e308", "1e-308", "1e999", "9" * 400, "0x10", "1j", "1_000", "True", "None", "..."]
DAYS = ["1", "2", "7", "30", "60", "61", "0", "-1", "1e1", "days", "10**9"]


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    days = st.sampled_from(DAYS[:5])
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "**", "%", "<<"]), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "in", "is"]), inner),
        st.builds("({} < {} < {})".format, inner, inner, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or", "if", ":="]), inner),
        st.builds("{} {}".format, st.sampled_from(["not", "-", "+", "~", "lambda:", "await"]), inner),
        st.builds("{}({}, days={})".format, st.sampled_from(["mean", "max", "min", "trend", "count"]), inner, days),
        st.builds("{}({})".format, st.sampled_from([*FUNCTIONS, "eval", "getattr", "__import__", "print"]), inner),
        st.builds("{}.{}".format, inner, st.sampled_from(["mean", "__class__", "__globals__", "real"])),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("[{} for x in {}]".format, inner, inner),
    )


LEAVES = st.one_of(
    st.sampled_from(NAMES),
    st.builds("{}{}".format, st.sampled_from(NUMBERS), st.sampled_from(UNITS)),
    st.builds(
        "{}({}, days={})".format, st.sampled_from(list(FUNCTIONS)), st.sampled_from(CODES), st.sampled_from(DAYS)
    ),
    st.builds("sequence({}, {}, {}, days={})".format, *[st.sampled_from(CODES)] * 3, st.sampled_from(DAYS)),
    st.builds("{}({})".format, st.sampled_from(list(FUNCTIONS)), st.sampled_from(CODES)),
)
ANYTHING = st.recursive(LEAVES, _grow, max_leaves=12)

DAYS_KEPT, ASSETS = 61, 40
_rng = np.random.default_rng(3)
PANEL = pd.DataFrame(
    {
        name: np.where(_rng.random(DAYS_KEPT * ASSETS) < 0.1, np.nan, _rng.poisson(1.0, DAYS_KEPT * ASSETS))
        for name in SCOPE.names()
    },
    index=panel_index(
        [f"A{n}" for n in range(ASSETS) for _ in range(DAYS_KEPT)], [FIRST + day for day in range(DAYS_KEPT)] * ASSETS
    ),
)
SITES = {f"A{n}": f"site-{n // 8}" for n in range(ASSETS)}
_SECONDS, _BYTES = 5.0, 100_000_000


def tried(text: str) -> bool:
    """Compile and evaluate; return whether it was taken. Bounded, and it touches nothing."""
    frame, began = Frame(PANEL, SITES), time.process_time()
    with touching_nothing():
        try:
            expression = compile_expression(text, SCOPE)
        except ExpressionError:
            return False
        held = expression.evaluate(frame)
        for term in expression.terms:
            frame.number(term)
    assert held.shape == (ASSETS, DAYS_KEPT)
    assert np.isin(held[~np.isnan(held)], (0.0, 1.0)).all()
    assert time.process_time() - began < _SECONDS
    return True


@settings(max_examples=TRIES or 300, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANYTHING)
def test_any_expression_of_the_grammar_is_refused_or_evaluated(text: str) -> None:
    tried(text)


@settings(max_examples=TRIES or 200, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xff" * 100)
@example(b"\x00")
def test_any_bytes_are_refused_or_evaluated(content: bytes) -> None:
    tried(content.decode("utf-8", errors="surrogateescape"))
    tried(content.decode("latin-1"))


WORST = [
    " and ".join(["trend(a.mean, days=60) > 0"] * 36),
    " or ".join(["mean(trend(hot.mean, days=30), days=31) > 0"] * 24),
    " and ".join(['sequence("F1", "F2", "F3", "F1", "F2", days=60)'] * 30),
    " and ".join(["above_peers(mean(a.mean, days=60)) > 0"] * 30),
    "+".join(["(a.mean)"] * 140) + " > 0",
    "count(" * 19 + "a.mean > 0" + ", days=4) > 0" * 19 + " and not a.mean > 9",
    "mean(" * 14 + "a.mean" + ", days=5)" * 14 + " > 0",
    "abs(" * 19 + "-" * 20 + "a.mean" + ")" * 19 + " > 0",
    "0 < " * 140 + "a.mean",
    "1 degC < " * 100 + "hot.mean",
]


@pytest.mark.parametrize("text", WORST, ids=lambda text: text[:30])
def test_the_costliest_expressions_that_the_limits_let_through_are_bounded(text: str) -> None:
    assert len(text) <= MAX_LENGTH
    tracemalloc.start()
    try:
        tried(text)
        assert tracemalloc.get_traced_memory()[1] < _BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text", ["'" * 1999, '"' * 1998, "\\'" * 999, "9 " * 999, "1 degC " * 280, "9" * 1999, "1." * 999, "1e" * 999]
)
def test_reading_units_does_not_go_over_the_text_again_and_again(text: str) -> None:
    began = time.process_time()
    assert not tried(text)
    assert time.process_time() - began < 0.5


def _problems(path: Path, fleet: Register, modes: Knowledge) -> list[str]:
    try:
        load([path], fleet, modes, ("robust_z",))
    except ConfigError as error:
        return [str(problem) for problem in error.problems] or ["nothing said"]
    return []


GOOD = (RULES + "  requires: [hot]\n  keep_for: 2 days\n  valid: {sites: [berlin], since: 2026-01-01}\n").encode()
PIECES = [
    *(b"\n", b"  ", b"- ", b": ", b"{", b"}", b"[", b"]", b"'", b'"', b"\x00", b"\xff", b"&a ", b"*a", b"<<: "),
    *(b"!!python/object/apply:os.system ", b"{temp.mean!r}", b"{0.__class__}", b"9" * 500, b"days=60"),
    b"requires: [worn]\n",
]


@settings(max_examples=TRIES or 150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4))
@example(changes=[(0, len(GOOD), b"[" * 5000)])
@example(changes=[(0, len(GOOD), b"- " * 20000)])
def test_any_rule_file_is_taken_or_refused_with_file_and_line(
    changes: list[tuple[int, int, bytes]], tmp_path: Path
) -> None:
    content = GOOD
    for place, removed, piece in changes:
        content = content[:place] + piece + content[place + removed :]
    path = tmp_path / "rules" / "pump.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    fleet, modes, began = register(), knowledge(), time.process_time()
    with touching_nothing("pump.yaml", "encodings"):
        problems = _problems(path, fleet, modes)
    assert all(problem.startswith("rules/pump.yaml:") for problem in problems)
    assert time.process_time() - began < _SECONDS
