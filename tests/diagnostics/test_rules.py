"""A rule on a panel: ``for``, where it is valid, what it says, and the tests that stand beside the rules."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import rule_set

from config.installation import load as load_installation
from config.source import ConfigError
from diagnostics import rule_tests
from diagnostics.expression import Frame
from diagnostics.rules import Rule, load
from models.panel import panel_index

RAIL = Path(__file__).parents[2] / "config" / "rail"
FIRST = np.datetime64("2026-03-01")


def rule(folder: Path, **lines: str) -> Rule:
    given = {
        "rule": "hot",
        "asset_type": "pump",
        "when": "temp.mean > 80",
        "failure_mode": "HOT",
        "severity": "major",
        "act_within": "48h",
        "text": '{en: "{temp.mean:.1f} and {temp.mean}", zh: "{temp.mean:+.0f} 度 {{}}"}',
    }
    text = "\n  ".join(f"{name.rstrip('_')}: {value}" for name, value in (given | lines).items())
    return rule_set(folder, f"- {text}\n").rules[0]


def panel(**columns: list[float | None]) -> pd.DataFrame:
    length = len(next(iter(columns.values())))
    index = panel_index(["P"] * length, [FIRST + day for day in range(length)])
    return pd.DataFrame(
        {name.replace("_", "."): values for name, values in columns.items()}, index=index, dtype="float64"
    )


def answers(rule: Rule, frame: pd.DataFrame, site: str = "berlin") -> list[bool | None]:
    return [None if v is pd.NA else bool(v) for v in rule.evaluate(Frame(frame), {"P": site}).condition]


@given(
    states=st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=10), n=st.integers(1, 5), data=st.data()
)
def test_for_counts_days_and_a_day_that_is_not_known_decides_nothing(
    tmp_path_factory: pytest.TempPathFactory, states: list[bool | None], n: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, n))
    checked = rule(tmp_path_factory.getbasetemp() / "for", for_=f"{k} of {n} days")
    frame = panel(temp_mean=[{True: 90.0, False: 20.0, None: None}[state] for state in states])
    expected: list[bool | None] = []
    for day, state in enumerate(states):
        last = [states[d] if d >= 0 else None for d in range(day - n + 1, day + 1)]
        if state is None:
            expected.append(None)
        else:
            expected.append(True if last.count(True) >= k else False if n - last.count(False) < k else None)
    assert answers(checked, frame) == expected


def test_a_rule_says_nothing_at_another_site_or_another_time(tmp_path: Path) -> None:
    frame = panel(temp_mean=[90.0] * 5)
    assert answers(rule(tmp_path, valid="{sites: [manaus]}"), frame) == [False] * 5
    assert answers(rule(tmp_path, valid="{sites: [manaus]}"), frame, "manaus") == [True] * 5
    dated = rule(tmp_path, valid="{since: 2026-03-02, until: 2026-03-03}")
    assert answers(dated, frame) == [False, True, True, False, False]


def test_its_text_holds_the_numbers_of_the_day_and_says_which_are_not_known(tmp_path: Path) -> None:
    checked = rule(tmp_path)
    frame = panel(temp_mean=[90.0, 81.26, None])
    result = checked.evaluate(Frame(frame), {})
    said = [result.text(result.evidence(("P", pd.Timestamp(FIRST + day)), Frame(frame))) for day in (1, 2)]
    assert said[0].en == "81.3 and 81.3"
    assert said[0].zh == "+81 度 {}"
    assert said[1].en == "not reported and not reported"
    assert said[1].zh == "未上报 度 {}"


def test_evidence_stands_beside_what_was_normal_before_it_may_have_begun(tmp_path: Path) -> None:
    checked = rule(tmp_path, when="temp.mean > 80 and temp.mean.own > 3")
    days = [40.0, 42.0, None, 44.0] * 5 + [70.0] * 7 + [95.0]
    frame = panel(temp_mean=days).assign(**{"temp.mean.own": 5.0})
    evidence = checked.evaluate(Frame(frame), {}).evidence(("P", pd.Timestamp(FIRST + 27)), Frame(frame[["temp.mean"]]))
    assert [tuple(item) for item in evidence] == [("temp.mean", 95.0, 42.0), ("temp.mean.own", 5.0, 0.0)]


# The tests beside the rules.


def test_the_rules_of_the_sample_installation_pass_their_own_tests() -> None:
    installation = load_installation(RAIL)
    detectors = installation.settings.models.detectors
    rules = load(installation.rule_files, installation.register, installation.knowledge, detectors)
    report = rule_tests.run(rules, sorted((RAIL / "rules").glob("*_test.yaml")))
    assert report.ok, str(report)
    assert report.rules == 8
    assert report.cases >= 2 * report.rules


def cases(folder: Path, text: str) -> Path:
    path = folder / "rules" / "pump_test.yaml"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """\
- rule: hot
  case: it is hot
  days: [{temp.mean: 90}]
  fires: true
- rule: hot
  case: it is cool
  days: [{temp.mean: 90}, {temp.mean: 20}]
  fires: false
- rule: hot
  case: it is silent
  days: [{temp.mean: 90}, {}]
  fires: unknown
- rule: worn
  case: two days of it
  days: [{faults.P1.count: 2}, {faults.P1.count: 1}]
  fires: true
- rule: worn
  case: no day names the code, so it was not set
  days: [{temp.mean: 50}, {temp.mean: 50}, {temp.mean: 50}]
  fires: false
"""


def test_cases_that_hold_are_counted(tmp_path: Path) -> None:
    rules = rule_set(tmp_path)
    report = rule_tests.run(rules, [cases(tmp_path, GOOD)])
    assert report.as_dict() == {"ok": True, "rules": 2, "cases": 5, "failures": []}
    assert str(report) == "5 cases of 2 rules: all hold"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("fires: true", "fires: false"),
            "rules/pump_test.yaml:4: hot: 'it is hot': fires, expected that it is silent",
        ),
        (("mean: 20", "mean: 99"), "rules/pump_test.yaml:8: hot: 'it is cool': fires, expected that it is silent"),
        (
            ("fires: unknown", "fires: true"),
            "rules/pump_test.yaml:12: hot: 'it is silent': is unknown, expected that it fires",
        ),
    ],
)
def test_a_case_that_does_not_hold_is_told_with_its_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    report = rule_tests.run(rule_set(tmp_path), [cases(tmp_path, GOOD.replace(*change, 1))])
    assert not report.ok
    assert says in [str(failure) for failure in report.failures]


def test_a_rule_without_a_case_that_fires_and_one_that_is_silent_fails(tmp_path: Path) -> None:
    half = re.sub(r"- rule: worn\n  case: no day(.|\n)*", "", GOOD)
    report = rule_tests.run(rule_set(tmp_path), [cases(tmp_path, half)])
    assert [str(failure) for failure in report.failures] == [
        "rules: rule 'worn' has no test case in which it is silent"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("rule: hot", "rule: hto", 1), "rules/pump_test.yaml:1: unknown rule 'hto'; did you mean 'hot'?"),
        (GOOD.replace("fires: true", "fires: maybe", 1), "rules/pump_test.yaml:4: "),
        (
            GOOD.replace("{temp.mean: 90}", "{temp.maen: 90}", 1),
            "rules/pump_test.yaml:3: unknown column 'temp.maen'; did you mean 'temp.mean'?",
        ),
        (
            GOOD.replace("faults.P1.count: 1", "faults.P7.count: 1", 1),
            "rules/pump_test.yaml:15: unknown column 'faults.P7.count'; did you mean 'faults.P2.count'?",
        ),
    ],
)
def test_a_file_of_cases_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    rules = rule_set(tmp_path)
    with pytest.raises(ConfigError) as caught:
        rule_tests.run(rules, [cases(tmp_path, text)])
    assert str(caught.value).startswith(says)
