"""Which versions of rules may open tickets by themselves: approvals beside the rules, sealed.

``rules/approvals.yaml`` holds one record for each rule version that was activated: what it scored on a history, when,
by whom, and if it is below the bar, who answers for it and why. A record's seal is an HMAC-SHA256 (RFC 2104) of all its
other fields under a key that stands in the environment, so that one written or changed by hand counts for nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from config.register import Name, Strict
from config.source import load_yaml, validate
from diagnostics.rule import Rule
from diagnostics.rules import RuleSet

MOST = 5_000
"""Records in one file."""
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_HEAD = """\
# Rule versions that may open tickets by themselves, written by `fleetdx rules activate`.
# A change by hand breaks the seal, and the rule runs as review.
"""


class Override(Strict):
    """Who answers for a rule below the bar, and why."""

    by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=10, max_length=1000)


class Approval(Strict):
    """What one version of a rule was worth on a history.

    Shares are ``None`` where there was nothing to take them of.
    """

    rule: Name
    content: _Digest
    history: str = Field(max_length=200)
    horizon_days: float
    tickets: int = Field(ge=0)
    true_tickets: int = Field(ge=0)
    failures: int = Field(ge=0)
    caught: int = Field(ge=0)
    precision: float | None = Field(default=None, ge=0, le=1)
    recall: float | None = Field(default=None, ge=0, le=1)
    at: str = Field(max_length=40)
    """When it was activated: ISO 8601, UTC."""
    by: str = Field(min_length=1, max_length=100)
    override: Override | None = None
    seal: str = Field(default="", max_length=64)

    def sealed(self, key: str) -> Approval:
        """Return it with its seal."""
        return self.model_copy(update={"seal": self._seal(key)})

    def genuine(self, key: str) -> bool:
        """Whether its seal fits."""
        return hmac.compare_digest(self.seal.encode(), self._seal(key).encode())

    def enough(self, min_precision: float) -> bool:
        """Whether it allows tickets: precise enough, or somebody answers for it."""
        return self.override is not None or (self.precision is not None and self.precision >= min_precision)

    def _seal(self, key: str) -> str:
        content = json.dumps(self.model_dump(mode="json", exclude={"seal"}), sort_keys=True)
        return hmac.new(key.encode(), content.encode(), hashlib.sha256).hexdigest()


def content_of(rules: RuleSet, name: str) -> str:
    """Return the sha256 (hexadecimal) of what decides when a rule opens a ticket: it, and the rules that it requires.

    Its texts and advice may change without another approval.
    """
    written = {
        rule.name: rule.written.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"text", "advise"}
        )
        for rule in rules.alone(name).rules
    }
    return hashlib.sha256(json.dumps([name, written], sort_keys=True).encode()).hexdigest()


def read(path: Path) -> tuple[Approval, ...]:
    """Read a file of approvals; one that is not there holds none. Raises ``ConfigError``."""
    if not path.exists():
        return ()
    source = load_yaml(path, path.parent.parent)
    kind = Annotated[tuple[Approval, ...], Field(max_length=MOST)]
    return () if source.data is None else validate(source, kind)


def write(path: Path, approvals: Sequence[Approval]) -> None:
    """Write a file of approvals whole, or leave the old one."""
    plain = [approval.model_dump(mode="json", exclude_none=True) for approval in approvals]
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(_HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    draft.replace(path)


def lacking(
    rules: RuleSet, approvals: Sequence[Approval], min_precision: float | None, key: str | None
) -> Mapping[str, str]:
    """Return the rules that would open tickets and may not, each with the reason; none where no bar is set."""
    if min_precision is None:
        return {}
    found = {}
    for rule in rules.rules:
        if rule.written.ticket == "auto":
            reason = _lacks(rule, content_of(rules, rule.name), approvals, min_precision, key)
            if reason:
                found[rule.name] = reason
    return found


def _lacks(rule: Rule, content: str, approvals: Sequence[Approval], min_precision: float, key: str | None) -> str:
    of_rule = [approval for approval in approvals if approval.rule == rule.name]
    if not of_rule:
        return "it was never activated"
    of_version = [approval for approval in of_rule if approval.content == content]
    if not of_version:
        return "it was changed since it was activated"
    if key is None:
        return "its approval cannot be checked: the key is not set"
    genuine = [approval for approval in of_version if approval.genuine(key)]
    if not genuine:
        return "the seal of its approval does not fit: it was changed by hand, or sealed with another key"
    if not any(approval.enough(min_precision) for approval in genuine):
        return f"its approval says less than the precision that is asked for, {min_precision:g}"
    return ""
