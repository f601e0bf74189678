"""``fleetdx check-config`` and ``fleetdx rules check | test``."""

from __future__ import annotations

from pathlib import Path

from config.installation import Installation, load
from config.source import ConfigError
from diagnostics import rule_tests
from diagnostics.rules import RuleSet
from fleetdx.failure import NO
from fleetdx.terminal import print_json, say
from fleetdx.wiring import check_connector, load_rules
from ingest.routes import check_decoders


def check_config(folder: Path, *, as_json: bool) -> int:
    """Read everything below ``folder``; return the exit code."""
    try:
        installation = load(folder)
        rules = load_rules(installation)
        check_connector(installation)
        check_decoders(installation.settings.mqtt)
    except ConfigError as error:
        return _report_problems(error, as_json=as_json)
    register = installation.register
    found = {
        "sites": len(register.sites),
        "asset_types": len(register.asset_types),
        "assets": len(register.assets),
        "rules": len(rules.rules),
    }
    if as_json:
        print_json({"ok": True, **found, "problems": [], "run_as_review": dict(rules.held_back)})
    else:
        say(", ".join(f"{n} {what.replace('_', ' ')}" for what, n in found.items()), f"{folder} is usable: ", "green")
        for name, reason in rules.held_back.items():
            say(f" opens no tickets by itself and runs as review: {reason}", f"Rule {name}", "yellow")
    return 0


def check_rules(folder: Path, *, as_json: bool) -> int:
    """Check the rules below ``folder``; return the exit code."""
    try:
        _, rules = _load(folder)
    except ConfigError as error:
        return _report_problems(error, as_json=as_json)
    if as_json:
        print_json({"ok": True, "rules": [rule.name for rule in rules.rules], "version": rules.version, "problems": []})
    else:
        say(f" (version {rules.version})", f"{len(rules.rules)} rules are well formed", "green")
    return 0


def test_rules(folder: Path, *, as_json: bool) -> int:
    """Run the cases beside the rules; return the exit code."""
    try:
        installation, rules = _load(folder)
        report = rule_tests.run(
            rules, sorted(installation.folder.glob("rules/*_test.yaml")), installation.register.assets
        )
    except ConfigError as error:
        return _report_problems(error, as_json=as_json)
    if as_json:
        print_json(report.as_dict())
    else:
        say(str(report))
    return 0 if report.ok else NO


def _load(folder: Path) -> tuple[Installation, RuleSet]:
    installation = load(folder)
    return installation, load_rules(installation)


def _report_problems(error: ConfigError, *, as_json: bool) -> int:
    if as_json:
        print_json({"ok": False, "problems": [str(problem) for problem in error.problems]})
    else:
        say("", f"{len(error.problems)} problem{'s' * (len(error.problems) != 1)}:", "bold red")
        for problem in error.problems:
            say(f"  {problem}")
    return NO
