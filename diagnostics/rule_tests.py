"""The tests that stand beside the rules: days as an engineer writes them down, and what the rule must say.

    - rule: air-leak-firm
      case: duty rises and the compressor reports long runs
      days:
        - {compressor_duty.p95: 60, compressor_duty.p95.own: 1.0}
        - {compressor_duty.p95: 82, compressor_duty.p95.own: 6.0, faults.A2102.count: 3}
      fires: true        # or false, or unknown

What a day does not name is not known on it; a fault code that no day names was not set. ``peers`` is what each other
asset of the site shows on every one of the days. Where and when a rule is valid is looked at only where the case says
of which ``asset`` of the register it is, or on which date ``first_day`` was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from config.mistakes import Where
from config.nearest import did_you_mean
from config.register import Asset, Strict
from config.source import ConfigError, Problem, Source, load_yaml, validate
from diagnostics.expression import Frame
from diagnostics.rule import Rule
from diagnostics.rules import RuleSet
from models.derive import MIN_PEERS
from models.panel import panel_index

_ASSET = "the-asset"
_SOME_DAY = date(2026, 1, 1)


class _Case(Strict):
    rule: str
    case: str = Field(min_length=1, max_length=200)
    days: tuple[dict[str, float], ...] = Field(min_length=1, max_length=60)
    peers: dict[str, float] | None = None
    asset: str | None = None
    first_day: date | None = None
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


def run(rules: RuleSet, files: Iterable[Path], assets: Mapping[str, Asset]) -> RuleTestReport:
    """Run the cases in ``files``; ``assets`` are the register's.

    Raises ``ConfigError`` where a file is no test file.
    """
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
            unknown = list(_unknown_names(rule, case, assets, source, number))
            if unknown:
                broken += unknown
                continue
            cases += 1
            answer = _answer(rules.alone(rule.name), rule, case, assets)
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


def _unknown_names(
    rule: Rule, case: _Case, assets: Mapping[str, Asset], source: Source, number: int
) -> Iterator[Problem]:
    """A misspelt column is one that did not report, and a case that is silent for that proves nothing."""
    known = set(rule.expression.scope.names())
    told: list[tuple[Where, str]] = [
        (("days", place, name), name) for place, day in enumerate(case.days) for name in day
    ]
    told += [(("peers", name), name) for name in case.peers or ()]
    for where, name in told:
        if name not in known:
            yield source.problem((number, *where), f"unknown column {name!r}{did_you_mean(name, known)}")
    kind = rule.written.asset_type
    of_type = [asset.id for asset in assets.values() if asset.asset_type == kind]
    if case.asset is not None and case.asset not in of_type:
        message = f"unknown asset {case.asset!r} of type {kind!r}{did_you_mean(case.asset, of_type)}"
        yield source.problem((number, "asset"), message)


def _answer(rules: RuleSet, rule: Rule, case: _Case, assets: Mapping[str, Asset]) -> bool | None:
    first = np.datetime64(case.first_day or _SOME_DAY, "D")
    days = [first + number for number in range(len(case.days))]
    asset_id = case.asset or _ASSET
    others = [f"peer {number} of {asset_id}" for number in range(MIN_PEERS)] if case.peers is not None else []
    rows = [*case.days, *(case.peers or {} for _ in others for _ in days)]
    panel = pd.DataFrame.from_records(list(rows)).astype("float64")
    for column in panel.columns:
        if column.startswith("faults.") and column.endswith(".count"):
            panel[column] = panel[column].fillna(0.0)
    for code in {code for each in rules.rules for code in each.expression.fault_codes}:
        if f"faults.{code}.count" not in panel:
            panel[f"faults.{code}.count"] = 0.0
    all_of_them = [asset_id, *others]
    panel.index = panel_index([one for one in all_of_them for _ in days], days * len(all_of_them))
    frame = Frame(panel, dict.fromkeys(all_of_them, "here"))
    said = _valid_as_told(rules, case).evaluate(rule.written.asset_type, frame, assets)
    results = {result.rule.name: result for result in said}
    last = results[rule.name].condition.loc[asset_id].iloc[-1]
    return None if last is pd.NA else bool(last)


def _valid_as_told(rules: RuleSet, case: _Case) -> RuleSet:
    """Return the rules without the limits of place or time that the case says nothing of."""
    nowhere: dict[str, object] = {"sites": (), "attributes": {}} if case.asset is None else {}
    never = {"since": None, "until": None} if case.first_day is None else {}

    def told(rule: Rule) -> Rule:
        valid = rule.written.valid.model_copy(update=nowhere | never)
        return replace(rule, written=rule.written.model_copy(update={"valid": valid}))

    return replace(rules, rules=tuple(told(rule) for rule in rules.rules))
