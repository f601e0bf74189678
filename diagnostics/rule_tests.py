"""The tests that stand beside the rules: days as an engineer writes them down, and what the rule must say.

    - rule: air-leak-firm
      case: duty rises and the compressor reports long runs
      days:
        - {compressor_duty.p95: 60, compressor_duty.p95.own: 1.0}
        - {compressor_duty.p95: 82, compressor_duty.p95.own: 6.0, faults.A2102.count: 3}
      fires: true        # or false, or unknown

What a day does not name is not known on it; a fault code that no day names was not set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from config.nearest import did_you_mean
from config.register import Strict
from config.source import ConfigError, Problem, Source, load_yaml, validate
from diagnostics.expression import Frame
from diagnostics.rules import Rule, RuleSet
from models.panel import panel_index

_ASSET = "the-asset"


class _Case(Strict):
    rule: str
    case: str = Field(min_length=1, max_length=200)
    days: tuple[dict[str, float], ...] = Field(min_length=1, max_length=60)
    fires: bool | Literal["unknown"]


@dataclass(frozen=True, slots=True)
class RuleTestReport:
    """What the cases said: ``failures`` in words, each with its file and line."""

    rules: int
    cases: int
    failures: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every case holds and every rule has its two."""
        return not self.failures

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {"ok": self.ok, "rules": self.rules, "cases": self.cases, "failures": [str(f) for f in self.failures]}

    def __str__(self) -> str:
        head = (
            f"{self.cases} cases of {self.rules} rules: {'all hold' if self.ok else f'{len(self.failures)} failures'}"
        )
        return "\n".join([head, *(f"  {failure}" for failure in self.failures)])


def run(rules: RuleSet, files: Iterable[Path]) -> RuleTestReport:
    """Run the cases in ``files``. Raises ``ConfigError`` where a file is no test file."""
    by_name = {rule.name: rule for rule in rules.rules}
    failures: list[Problem] = []
    broken: list[Problem] = []
    answers: dict[str, set[object]] = {name: set() for name in by_name}
    cases = 0
    for path in files:
        try:
            source = load_yaml(path, path.parent.parent)
            texts = () if source.data is None else validate(source, tuple[_Case, ...])
        except ConfigError as error:
            broken += error.problems
            continue
        for number, case in enumerate(texts):
            rule = by_name.get(case.rule)
            if rule is None:
                message = f"unknown rule {case.rule!r}{did_you_mean(case.rule, by_name)}"
                broken.append(source.problem((number, "rule"), message))
                continue
            unknown = list(_unknown_columns(rule, case, source, number))
            if unknown:
                broken += unknown
                continue
            cases += 1
            answer = _answer(rule, case)
            expected = None if case.fires == "unknown" else case.fires
            answers[rule.name].add(expected)
            if answer is not expected:
                says = {True: "fires", False: "is silent", None: "is unknown"}
                message = f"{rule.name}: {case.case!r}: {says[answer]}, expected that it {says[expected]}"
                failures.append(source.problem((number, "fires"), message))
    if broken:
        raise ConfigError(broken)
    for name, seen in answers.items():
        for needed, words in ((True, "fires"), (False, "is silent")):
            if needed not in seen:
                failures.append(Problem("rules", 0, f"rule {name!r} has no test case in which it {words}"))
    return RuleTestReport(len(by_name), cases, tuple(failures))


def _unknown_columns(rule: Rule, case: _Case, source: Source, number: int) -> Iterator[Problem]:
    """A misspelt column is one that did not report, and a case that is silent for that proves nothing."""
    known = set(rule.expression.scope.names())
    for place, day in enumerate(case.days):
        for name in day:
            if name not in known:
                yield source.problem(
                    (number, "days", place, name), f"unknown column {name!r}{did_you_mean(name, known)}"
                )


def _answer(rule: Rule, case: _Case) -> bool | None:
    days = [np.datetime64("2026-01-01", "D") + number for number in range(len(case.days))]
    panel = pd.DataFrame.from_records(list(case.days)).astype("float64")
    for column in panel.columns:
        if column.startswith("faults.") and column.endswith(".count"):
            panel[column] = panel[column].fillna(0.0)
    for column in _fault_columns(rule):
        if column not in panel:
            panel[column] = 0.0
    panel.index = panel_index([_ASSET] * len(days), days)
    last = rule.evaluate(Frame(panel), {}).condition.iloc[-1]
    return None if last is pd.NA else bool(last)


def _fault_columns(rule: Rule) -> list[str]:
    return [f"faults.{code}.count" for code in rule.expression.fault_codes]
