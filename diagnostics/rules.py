"""Expert rules: YAML beside their tests, in the manner of Prometheus rules; checked when loaded, in all their names."""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from config.knowledge import ANOMALY, Knowledge
from config.nearest import did_you_mean
from config.register import Name, Register, Severity, Strict, Text
from config.settings import Duration
from config.source import ConfigError, Problem, Source, load_yaml, validate
from diagnostics.expression import MAX_DAYS, Expression, ExpressionError, Frame, Scope, compile_expression
from diagnostics.records import Evidence
from models.derive import LOOK_BACK_DAYS
from models.persistence import Persistence

_DEVIATIONS = (".own", ".peers", ".rate")
_RECENT_DAYS = 7


class _Valid(Strict):
    """Where and when a rule holds."""

    sites: tuple[Name, ...] = ()
    since: date | None = None
    until: date | None = None


class RuleText(Strict):
    """One rule as it is written."""

    rule: Name
    asset_type: Name
    when: str = Field(min_length=1)
    for_: str = Field(default="1 of 1 days", alias="for", max_length=40)
    failure_mode: str = Field(max_length=32)
    severity: Severity
    act_within: Duration
    ticket: Literal["auto", "review"] = "review"
    suppresses: tuple[str, ...] = Field(default=(), max_length=50)
    advise: tuple[str, ...] = Field(default=(), max_length=50)
    valid: _Valid = _Valid()
    text: Text


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule; ``suppresses`` are failure modes. ``version`` changes with this rule, and with no other."""

    written: RuleText
    expression: Expression
    persistence: Persistence
    suppresses: tuple[str, ...]
    version: str

    @property
    def name(self) -> str:
        """Its name, unique in the installation."""
        return self.written.rule

    @property
    def days(self) -> int:
        """How many days its condition looks at, today included."""
        return self.expression.days + self.persistence.n - 1

    def evaluate(self, frame: Frame, sites: Mapping[str, str]) -> RuleResult:
        """Evaluate on the frame of a derived panel, which all rules may share; ``sites`` gives each asset's site.

        Where the rule is not valid (another site, another time) its condition is False: it has nothing to say there.
        """
        held = self.expression.evaluate(frame)
        # What the days before say does not decide a day that says nothing itself: it neither raises nor clears.
        lasting = np.where(np.isnan(held), np.nan, self.persistence.over(held))
        condition = frame.gather_condition(lasting)
        if self.written.valid != _Valid():
            condition = condition.mask(~self._valid(frame.index, sites), False)
        return RuleResult(self, frame, condition)

    def _valid(self, index: pd.MultiIndex, sites: Mapping[str, str]) -> pd.Series:
        valid = np.ones(len(index), dtype=bool)
        day = index.get_level_values(1)
        where = self.written.valid
        if where.sites:
            valid &= np.array([sites.get(asset_id) in where.sites for asset_id in index.get_level_values(0)])
        if where.since is not None:
            valid &= np.asarray(day >= pd.Timestamp(where.since))
        if where.until is not None:
            valid &= np.asarray(day <= pd.Timestamp(where.until))
        return pd.Series(valid, index=index)


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A rule's answer on a panel: ``condition`` is a nullable boolean column, after ``for``."""

    rule: Rule
    frame: Frame
    condition: pd.Series

    def evidence(self, row: tuple[str, pd.Timestamp], past: Frame) -> tuple[Evidence, ...]:
        """Return each number that the rule read on an asset-day, beside what is normal for this asset.

        ``past`` is the frame of the base panel of the last weeks, this asset's among them. Normal is the median of its
        days before, without the last ``_RECENT_DAYS``, in which what the rule saw may have begun; of a deviation it is
        0 by definition.
        """
        asset, place = self.frame.place(row)
        same, today = past.place(row)
        found = []
        for term in self.rule.expression.terms:
            value = float(self.frame.number(term)[asset, place])
            days = past.number(term)[same, max(0, today - LOOK_BACK_DAYS) : max(0, today - _RECENT_DAYS)]
            known = days[np.isfinite(days)]
            normal = float(np.median(known)) if len(known) else float("nan")
            found.append(Evidence(term.text, value, 0.0 if term.text.endswith(_DEVIATIONS) else normal))
        return tuple(found)

    def text(self, evidence: Sequence[Evidence]) -> Text:
        """Return the rule's text with the values of the day filled in."""
        values = {item.feature: item.value for item in evidence}
        written = self.rule.written.text
        return Text(en=_filled(written.en, values, "not reported"), zh=_filled(written.zh, values, "未上报"))


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of an installation; ``version`` changes with any of them."""

    rules: tuple[Rule, ...]
    version: str

    def for_type(self, asset_type: str) -> tuple[Rule, ...]:
        """Return the rules of one asset type."""
        return tuple(rule for rule in self.rules if rule.written.asset_type == asset_type)


def load(files: Iterable[Path], register: Register, knowledge: Knowledge, detectors: Sequence[str]) -> RuleSet:
    """Read and check rule files.

    Raises:
        ConfigError: every problem of every file, with its line and the nearest known name.
    """
    problems: list[Problem] = []
    read: list[tuple[Source, int, RuleText]] = []
    for path in files:
        try:
            source = load_yaml(path, path.parent.parent)
            texts = () if source.data is None else validate(source, tuple[RuleText, ...])
            read += [(source, number, text) for number, text in enumerate(texts)]
        except ConfigError as error:
            problems += error.problems
    # What a file that could not be read would have named is not held against the others.
    names: dict[str, str] | None = None if problems else {text.rule: text.failure_mode for _, _, text in read}
    rules: list[Rule] = []
    places: list[tuple[Source, int]] = []
    first: dict[str, str] = {}
    for source, number, text in read:
        before = len(problems)
        if text.rule in first:
            message = f"rule {text.rule!r} is given twice (first in {first[text.rule]})"
            problems.append(source.problem((number, "rule"), message))
        first.setdefault(text.rule, f"{source.file}:{source.line((number, 'rule'))}")
        expression, persistence = _checked(source, number, text, names, register, knowledge, detectors, problems)
        if len(problems) == before and expression is not None and persistence is not None:
            suppresses = tuple(dict.fromkeys((names or {}).get(name, name) for name in text.suppresses))
            rules.append(Rule(text, expression, persistence, suppresses, _version(text)))
            places.append((source, number))
    if not problems:
        problems += _circles(rules, places)
    if problems:
        raise ConfigError(problems)
    return RuleSet(tuple(rules), _version(*(rule.written for rule in rules)))


def _version(*texts: RuleText) -> str:
    content = json.dumps([text.model_dump(mode="json") for text in texts], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _checked(
    source: Source,
    number: int,
    text: RuleText,
    names: Mapping[str, str] | None,
    register: Register,
    knowledge: Knowledge,
    detectors: Sequence[str],
    problems: list[Problem],
) -> tuple[Expression | None, Persistence | None]:
    """Check one rule's names and texts; what is wrong is added to ``problems``."""

    def wrong(message: str, *where: str | int) -> None:
        problems.append(source.problem((number, *where), message))

    persistence = expression = None
    try:
        persistence = Persistence.parse(text.for_)
    except ValueError as error:
        wrong(str(error), "for")
    modes = knowledge.failure_modes
    if text.failure_mode not in modes:
        wrong(f"unknown failure mode {text.failure_mode!r}{did_you_mean(text.failure_mode, modes)}", "failure_mode")
    elif text.failure_mode == ANOMALY.code:
        wrong(f"{ANOMALY.code} is what a model alone says; a rule names what it has recognised", "failure_mode")
    for place, name in enumerate(text.suppresses):
        if names is not None and name not in modes and name not in names:
            message = f"unknown rule or failure mode {name!r}{did_you_mean(name, [*names, *modes])}"
            wrong(message, "suppresses", place)
    for place, reference in enumerate(text.advise):
        try:
            knowledge.resolve(reference)
        except KeyError as error:
            wrong(str(error.args[0]), "advise", place)
    for place, site in enumerate(text.valid.sites):
        if site not in register.sites:
            wrong(f"unknown site {site!r}{did_you_mean(site, register.sites)}", "valid", "sites", place)
    if text.valid.since is not None and text.valid.until is not None and text.valid.since > text.valid.until:
        wrong(f"ends on {text.valid.until}, before it begins on {text.valid.since}", "valid", "until")
    asset_type = register.asset_types.get(text.asset_type)
    if asset_type is None:
        known = register.asset_types
        wrong(f"unknown asset type {text.asset_type!r}{did_you_mean(text.asset_type, known)}", "asset_type")
        return None, persistence
    try:
        expression = compile_expression(text.when, Scope(asset_type, tuple(detectors)))
    except ExpressionError as error:
        wrong(f"when: {error}", "when")
        return None, persistence
    if persistence is not None and expression.days + persistence.n - 1 > MAX_DAYS:
        days = expression.days + persistence.n - 1
        wrong(f"when and for together look at {days} days, at most {MAX_DAYS} are kept", "for")
    terms = {term.text: 0.0 for term in expression.terms}
    for language in ("en", "zh"):
        try:
            _filled(getattr(text.text, language), terms, "")
        except ValueError as error:
            wrong(f"text.{language}: {error}", "text", language)
    return expression, persistence


def _circles(rules: Sequence[Rule], places: Sequence[tuple[Source, int]]) -> Iterator[Problem]:
    """Failure modes that suppress each other, over however many rules: together they would leave no ticket at all."""
    explains: dict[str, set[str]] = {}
    for rule in rules:
        explains.setdefault(rule.written.failure_mode, set()).update(rule.suppresses)
    for rule, (source, number) in zip(rules, places, strict=True):
        mode = rule.written.failure_mode
        for other in rule.suppresses:
            reached, ahead = set[str](), [other]
            while ahead:
                step = ahead.pop()
                if step not in reached:
                    reached.add(step)
                    ahead += explains.get(step, ())
            if mode in reached:
                message = f"{mode} suppresses {other}, which suppresses {mode}: neither would get a ticket"
                if mode == other:
                    message = f"{mode} suppresses itself"
                yield source.problem((number, "suppresses"), message)


_FORM = re.compile(r"\+?(\.[0-9])?[efg%]?")


def _filled(template: str, values: Mapping[str, float], unknown: str) -> str:
    """Fill ``{column}`` and ``{column:.1f}``; nothing else of Python's format language is followed.

    Raises ``ValueError`` where a placeholder is none, or is not among ``values``.
    """
    pieces = []
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("a brace that stands alone; write {{ or }} for one that is meant") from None
    for literal, name, form, conversion in parsed:
        pieces.append(literal)
        if name is None:
            continue
        if name not in values:
            raise ValueError(f"{{{name}}} is not read by this rule{did_you_mean(name, values)}")
        if conversion or not _FORM.fullmatch(form or ""):
            raise ValueError(f"{{{name}}} is followed by what is no format; write it as {{{name}:.1f}}")
        value = values[name]
        pieces.append(format(value, form or ".3g") if np.isfinite(value) else unknown)
    return "".join(pieces)
