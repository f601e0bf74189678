"""docs/rules.md says what the language is, and its example is a rule of the sample installation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.installation import load as load_installation
from diagnostics import rule_tests
from diagnostics.expression import DAYS_SINCE, FUNCTIONS, MAX_DAYS, MAX_DEPTH, MAX_LENGTH, MAX_NODES
from diagnostics.rule_text import RuleText
from diagnostics.rules import load

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


def test_the_worked_example_is_a_rule_and_its_tests_hold(tmp_path: Path) -> None:
    written, tests = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "door.yaml").write_text(written, encoding="utf-8")
    (folder / "door_test.yaml").write_text(tests, encoding="utf-8")
    rail = load_installation(ROOT / "config" / "rail")
    rules = load([folder / "door.yaml"], rail.register, rail.knowledge, rail.settings.models.detectors)
    report = rule_tests.run(rules, [folder / "door_test.yaml"], rail.register.assets)
    assert report.ok, str(report)
    assert report.cases == 3


def test_every_function_and_every_key_is_explained() -> None:
    for name in FUNCTIONS:
        assert re.search(rf"^\| .*`{name}[(`]", DOCUMENT, re.MULTILINE), name
    keys = [field.alias or name for name, field in RuleText.model_fields.items()]
    table = DOCUMENT.partition("## What stands in a rule")[2].partition("## Columns")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == keys


@pytest.mark.parametrize(
    "said",
    [
        f"at most {MAX_LENGTH:,} characters, {MAX_NODES} parts and {MAX_DEPTH} brackets deep",
        f"reach back {MAX_DAYS} days at most",
        f"looks back n ({DAYS_SINCE})",
    ],
)
def test_limits_are_those_of_the_program(said: str) -> None:
    assert said in DOCUMENT
