"""Expert rules: YAML beside their tests, in the manner of Prometheus rules; checked when loaded, in all their names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path

from config.knowledge import Knowledge
from config.register import Asset, Register
from config.source import ConfigError, Problem, load_yaml, validate
from diagnostics.expression import Frame
from diagnostics.rule import Rule, RuleResult
from diagnostics.rule_check import RuleCheck, Written, circles
from diagnostics.rule_text import RuleText


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of an installation; ``version`` changes with any of them.

    ``held_back`` are rules that are written with ``ticket: auto`` and run as ``review``, each with the reason.
    """

    rules: tuple[Rule, ...]
    version: str
    held_back: Mapping[str, str]

    def for_type(self, asset_type: str) -> tuple[Rule, ...]:
        """Return the rules of one asset type."""
        return tuple(rule for rule in self.rules if rule.written.asset_type == asset_type)

    def evaluate(self, asset_type: str, frame: Frame, assets: Mapping[str, Asset]) -> list[RuleResult]:
        """Evaluate the rules of one asset type, each after those that it requires; the results are in file order.

        ``assets`` are the register's.
        """
        rules = {rule.name: rule for rule in self.for_type(asset_type)}
        results: dict[str, RuleResult] = {}
        needed = {name: {other for group in rule.needs.rules for other in group} for name, rule in rules.items()}
        for name in TopologicalSorter(needed).static_order():
            results[name] = rules[name].evaluate(frame, assets, results)
        return [results[name] for name in rules]

    def alone(self, name: str) -> RuleSet:
        """Return a rule with those that it requires and no others."""
        by_name = {rule.name: rule for rule in self.rules}
        wanted, ahead = set[str](), [name]
        while ahead:
            wanted.add(step := ahead.pop())
            ahead += [n for group in by_name[step].needs.rules for n in group if n not in wanted]
        return replace(self, rules=tuple(rule for rule in self.rules if rule.name in wanted))

    def holding_back(self, reasons: Mapping[str, str]) -> RuleSet:
        """Return the rules with ``ticket: review`` for those that ``reasons`` names and that would open tickets."""
        held = {rule.name: reasons[rule.name] for rule in self.rules if rule.ticket == "auto" and rule.name in reasons}
        rules = tuple(replace(rule, ticket="review") if rule.name in held else rule for rule in self.rules)
        return RuleSet(rules, self.version, {**self.held_back, **held})


def load(files: Iterable[Path], register: Register, knowledge: Knowledge, detectors: Sequence[str]) -> RuleSet:
    """Read and check rule files.

    Raises:
        ConfigError: every problem of every file, with its line and the nearest known name.
    """
    problems: list[Problem] = []
    read: list[Written] = []
    for path in files:
        try:
            source = load_yaml(path, path.parent.parent)
            texts = () if source.data is None else validate(source, tuple[RuleText, ...])
            read += [Written(source, number, text) for number, text in enumerate(texts)]
        except ConfigError as error:
            problems += error.problems
    # What a file that could not be read would have named is not held against the others.
    known = None if problems else [written.text for written in read]
    check = RuleCheck(register, knowledge, tuple(detectors), known)
    rules: list[tuple[Written, Rule]] = []
    first: dict[str, str] = {}
    for written in read:
        found = list(_given_twice(written, first))
        rule = check.rule(written, _version(written.text), found)
        problems += found
        if rule is not None and not found:
            rules.append((written, rule))
    if not problems:
        problems += circles(rules)
    if not problems:
        whole = check.with_what_they_require(rules)
        problems += whole.problems
        rules = whole.rules
    if problems:
        raise ConfigError(problems)
    return RuleSet(tuple(rule for _, rule in rules), _version(*(written.text for written, _ in rules)), {})


def _given_twice(written: Written, first: dict[str, str]) -> Iterable[Problem]:
    name, source = written.text.rule, written.source
    if name in first:
        yield written.problem(f"rule {name!r} is given twice (first in {first[name]})", "rule")
    first.setdefault(name, f"{source.file}:{source.line((written.number, 'rule'))}")


def _version(*texts: RuleText) -> str:
    content = json.dumps([text.model_dump(mode="json") for text in texts], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
