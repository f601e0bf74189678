"""Whether rules mean something: their names, their texts, and what they say of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from config.knowledge import ANOMALY, Knowledge
from config.nearest import did_you_mean
from config.register import AssetType, Register
from config.source import Problem, Source
from diagnostics.expression import MAX_DAYS, Expression, ExpressionError, Scope, compile_expression
from diagnostics.rule import Needs, Rule
from diagnostics.rule_text import RuleText, filled, kept_days
from models.persistence import Persistence

_T = TypeVar("_T")


class Written(NamedTuple):
    """A rule in its file."""

    source: Source
    number: int
    text: RuleText

    def problem(self, message: str, *where: str | int) -> Problem:
        """Return a problem with a part of the rule."""
        return self.source.problem((self.number, *where), message)


class Whole(NamedTuple):
    """All rules, with what each requires, and what is wrong with that."""

    rules: list[tuple[Written, Rule]]
    problems: list[Problem]


class RuleCheck:
    """Checks against an installation. ``known`` are the texts of all rules; ``None`` where some could not be read."""

    def __init__(
        self, register: Register, knowledge: Knowledge, detectors: tuple[str, ...], known: Sequence[RuleText] | None
    ) -> None:
        self._register, self._knowledge, self._detectors = register, knowledge, detectors
        self._known = None if known is None else {text.rule: text for text in known}
        self._attributes: dict[str, set[str]] = {}
        for asset in register.assets.values():
            self._attributes.setdefault(asset.asset_type, set()).update(asset.attributes)

    def rule(self, written: Written, version: str, problems: list[Problem]) -> Rule | None:
        """Return the rule, not yet knowing what it requires; what is wrong is added to ``problems``."""
        problems += self._wrong_names(written)
        problems += self._wrong_validity(written)
        text = written.text
        persistence = _read(Persistence.parse, written, "for", problems)
        keep_days = _read(kept_days, written, "keep_for", problems) or 0
        asset_type = self._register.asset_types.get(text.asset_type)
        if asset_type is None:
            known = self._register.asset_types
            problems.append(
                written.problem(
                    f"unknown asset type {text.asset_type!r}{did_you_mean(text.asset_type, known)}", "asset_type"
                )
            )
            return None
        try:
            expression = compile_expression(text.when, Scope(asset_type, self._detectors))
        except ExpressionError as error:
            problems.append(written.problem(f"when: {error}", "when"))
            return None
        problems += _wrong_texts(written, expression)
        needs = self._needs(written, asset_type, expression.scope, problems)
        if persistence is None:
            return None
        days = expression.days + persistence.n - 1 + keep_days
        if days > MAX_DAYS:
            key, words = ("keep_for", "when, for and keep_for") if keep_days else ("for", "when and for")
            problems.append(written.problem(f"{words} together look at {days} days, at most {MAX_DAYS} are kept", key))
        explained = (self._mode_of(name) for name in text.suppresses)
        suppresses = tuple(dict.fromkeys(explained))
        return Rule(text, expression, persistence, keep_days, needs, suppresses, version, days, text.ticket)

    def with_what_they_require(self, rules: Sequence[tuple[Written, Rule]]) -> Whole:
        """Return the rules with their days counted through what they require, and the circles among them."""
        by_name = {rule.name: rule for _, rule in rules}
        required = {name: [n for group in rule.needs.rules for n in group] for name, rule in by_name.items()}
        problems, complete = [], []
        for written, rule in rules:
            reached = set[str]().union(*(_reached(name, required) for name in required[rule.name]))
            if rule.name in reached:
                problems.append(
                    written.problem(f"{rule.name} requires what requires {rule.name}: it could never hold", "requires")
                )
            days = max([rule.days, *(by_name[name].days for name in reached)])
            complete.append((written, replace(rule, days=days)))
        return Whole(complete, problems)

    def _mode_of(self, name: str) -> str:
        text = (self._known or {}).get(name)
        return name if text is None else text.failure_mode

    def _wrong_names(self, written: Written) -> Iterator[Problem]:
        text, modes = written.text, self._knowledge.failure_modes
        mode = text.failure_mode
        if mode not in modes:
            yield written.problem(f"unknown failure mode {mode!r}{did_you_mean(mode, modes)}", "failure_mode")
        elif mode == ANOMALY.code:
            message = f"{ANOMALY.code} is what a model alone says; a rule names what it has recognised"
            yield written.problem(message, "failure_mode")
        for place, name in enumerate(text.suppresses):
            if self._known is not None and name not in modes and name not in self._known:
                message = f"unknown rule or failure mode {name!r}{did_you_mean(name, [*self._known, *modes])}"
                yield written.problem(message, "suppresses", place)
        for place, reference in enumerate(text.advise):
            try:
                self._knowledge.resolve(reference)
            except KeyError as error:
                yield written.problem(str(error.args[0]), "advise", place)

    def _wrong_validity(self, written: Written) -> Iterator[Problem]:
        valid, sites = written.text.valid, self._register.sites
        for place, site in enumerate(valid.sites):
            if site not in sites:
                yield written.problem(f"unknown site {site!r}{did_you_mean(site, sites)}", "valid", "sites", place)
        if valid.since is not None and valid.until is not None and valid.since > valid.until:
            message = f"ends on {valid.until}, before it begins on {valid.since}"
            yield written.problem(message, "valid", "until")
        known = self._attributes.get(written.text.asset_type, set())
        for name in valid.attributes:
            if name not in known:
                message = (
                    f"no asset of type {written.text.asset_type!r} has an attribute {name!r}{did_you_mean(name, known)}"
                )
                yield written.problem(message, "valid", "attributes", name)

    def _needs(self, written: Written, asset_type: AssetType, scope: Scope, problems: list[Problem]) -> Needs:
        """Sort what is required into rules and columns."""
        known, modes = self._known, self._knowledge.failure_modes
        columns = {name for name, _ in scope.columns()}
        groups: list[tuple[str, ...]] = []
        wanted: list[str] = []
        for place, name in enumerate(written.text.requires):
            message = ""
            if name in columns:
                wanted.append(name)
            elif known is None:
                continue
            elif name in known:
                groups.append((name,))
                if known[name].asset_type != asset_type.id:
                    message = f"rule {name!r} is about {known[name].asset_type!r}, this one about {asset_type.id!r}"
            elif name in modes:
                saying = [t.rule for t in known.values() if (t.failure_mode, t.asset_type) == (name, asset_type.id)]
                groups.append(tuple(saying))
                if not saying:
                    message = f"no rule of {asset_type.id!r} says {name}"
            else:
                near = did_you_mean(name, [*known, *modes, *columns])
                message = f"unknown rule, failure mode or column {name[:60]!r}{near}"
            if message:
                problems.append(written.problem(message, "requires", place))
        return Needs(tuple(groups), tuple(wanted))


def _read(read: Callable[[str], _T], written: Written, key: str, problems: list[Problem]) -> _T | None:
    try:
        return read(getattr(written.text, "for_" if key == "for" else key))
    except ValueError as error:
        problems.append(written.problem(str(error), key))
        return None


def _wrong_texts(written: Written, expression: Expression) -> Iterator[Problem]:
    terms = {term.text: 0.0 for term in expression.terms}
    for language in ("en", "zh"):
        try:
            filled(getattr(written.text.text, language), terms, "")
        except ValueError as error:
            yield written.problem(f"text.{language}: {error}", "text", language)


def circles(rules: Sequence[tuple[Written, Rule]]) -> Iterator[Problem]:
    """Failure modes that suppress each other, over however many rules: together they would leave no ticket at all."""
    explains: dict[str, set[str]] = {}
    for _, rule in rules:
        explains.setdefault(rule.written.failure_mode, set()).update(rule.suppresses)
    for written, rule in rules:
        mode = rule.written.failure_mode
        for other in rule.suppresses:
            if mode in _reached(other, explains):
                message = f"{mode} suppresses {other}, which suppresses {mode}: neither would get a ticket"
                if mode == other:
                    message = f"{mode} suppresses itself"
                yield written.problem(message, "suppresses")


def _reached(start: str, onward: Mapping[str, Iterable[str]]) -> set[str]:
    reached, ahead = set[str](), [start]
    while ahead:
        step = ahead.pop()
        if step not in reached:
            reached.add(step)
            ahead += onward.get(step, ())
    return reached
