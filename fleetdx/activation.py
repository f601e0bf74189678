"""``fleetdx rules activate``: check, test, back-test, and only then may a rule open tickets by itself."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

from config.installation import Installation
from diagnostics import approvals, rule_tests
from diagnostics.approvals import Approval, Override
from diagnostics.rule import Rule
from fleetdx.failure import NO, CannotGoOn
from fleetdx.rules_backtest import RulesWalk, as_dict, say_walk, walked
from fleetdx.terminal import print_json, say
from fleetdx.wiring import approvals_file, read_installation, rules_as_written, secret


def activate(
    config: Path, history: Path, *, override_by: str | None, reason: str | None, horizon_days: float, as_json: bool
) -> int:
    """Approve what is precise enough, or what somebody answers for; return the exit code: no, if anything is refused.

    Raises:
        ConfigError: the rules, their tests or the approvals are not what they should be.
        CannotGoOn: no bar is set, the key is missing, or the override names nobody or no reason.
    """
    installation = read_installation(config)
    settings = installation.settings.rules
    if settings.min_precision is None:
        raise CannotGoOn("settings.yaml sets no rules.min_precision: every rule may open tickets, none needs approval.")
    key = secret(settings.approval_key_env, "the key that seals approvals")
    override = _override(override_by, reason)
    path = approvals_file(installation)
    known = approvals.read(path)
    rules = rules_as_written(installation)
    tested = rule_tests.run(rules, sorted(path.parent.glob("*_test.yaml")), installation.register.assets)
    if not tested.ok:
        say(str(tested), "Refused: the tests of the rules fail. ", "bold red")
        return NO
    waiting = approvals.lacking(rules, known, settings.min_precision, key)
    if not waiting:
        return _answer({}, [], as_json=as_json)
    walk = walked(installation, history, horizon_days, None)
    if not as_json:
        say_walk(as_dict(walk, horizon_days))
    made, refused = [], {}
    for rule in walk.rules.rules:
        if rule.name in waiting:
            record = _record(rule, walk, installation, history, horizon_days)
            if not record.enough(settings.min_precision) and override is None:
                refused[rule.name] = _why(record, settings.min_precision)
            else:
                needed = None if record.enough(settings.min_precision) else override
                made.append(record.model_copy(update={"override": needed}).sealed(key))
    if made:
        renewed = {(record.rule, record.content) for record in made}
        approvals.write(path, [record for record in known if (record.rule, record.content) not in renewed] + made)
    return _answer(refused, made, as_json=as_json)


def _override(by: str | None, reason: str | None) -> Override | None:
    if (by is None) != (reason is None):
        raise CannotGoOn("--override-by and --reason go together: somebody answers for the rule, and says why")
    if by is None or reason is None:
        return None
    by, reason = by.strip(), reason.strip()
    if not 1 <= len(by) <= 100 or not 10 <= len(reason) <= 1000:
        raise CannotGoOn("an override needs a name of up to 100 characters and a reason of 10 to 1,000")
    return Override(by=by, reason=reason)


def _record(rule: Rule, walk: RulesWalk, installation: Installation, history: Path, horizon_days: float) -> Approval:
    figures = as_dict(walk, horizon_days)["rules"][rule.name]
    return Approval(
        rule=rule.name,
        content=approvals.content_of(walk.rules, rule.name),
        history=history.resolve().name[:200],
        horizon_days=horizon_days,
        at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        by=getpass.getuser()[:100],
        **{name: figures[name] for name in ("tickets", "true_tickets", "failures", "caught", "precision", "recall")},
    )


def _why(record: Approval, min_precision: float) -> str:
    if not record.failures:
        return "the history knows no failure of its mode"
    if record.precision is None:
        return "it raised nothing on this history"
    return f"precision {record.precision:.2f} is below {min_precision:.2f} ({record.true_tickets} of {record.tickets})"


def _answer(refused: dict[str, str], made: list[Approval], *, as_json: bool) -> int:
    if as_json:
        plain = [record.model_dump(mode="json", exclude_none=True) for record in made]
        print_json({"ok": not refused, "approved": plain, "refused": refused})
    else:
        for record in made:
            words = f" although below the bar: {record.override.by}" if record.override else ""
            say(f": may open tickets{words}", record.rule, "green")
        for name, why in refused.items():
            say(f": refused, {why}", name, "bold red")
        if refused:
            say("Refused rules run as review. To activate them all the same: --override-by NAME --reason TEXT")
        elif not made:
            say("Nothing to activate: every rule that opens tickets has its approval.")
    return NO if refused else 0
