"""A rule on a panel: ``for``, where it is valid, what it says, and the tests that stand beside the rules."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_fleet import BERLIN, PUMP, knowledge, register, rule_set

from config.installation import load as load_installation
from config.register import Asset, Register
from config.source import ConfigError
from config.version_order import version_key
from diagnostics import rule_tests
from diagnostics.expression import Frame
from diagnostics.rule import Rule
from diagnostics.rules import load
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
    pump = Asset(id="P", asset_type="pump", site=site)
    return [None if v is pd.NA else bool(v) for v in rule.evaluate(Frame(frame), {"P": pump}, {}).condition]


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


@given(states=st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=10), kept=st.integers(0, 4))
def test_keep_for_goes_on_holding_for_so_many_days(
    tmp_path_factory: pytest.TempPathFactory, states: list[bool | None], kept: int
) -> None:
    checked = rule(tmp_path_factory.getbasetemp() / "kept", keep_for=f"{kept} days")
    frame = panel(temp_mean=[{True: 90.0, False: 20.0, None: None}[state] for state in states])
    expected: list[bool | None] = []
    for day in range(len(states)):
        last = [states[d] if d >= 0 else None for d in range(day - kept, day + 1)]
        expected.append(True if True in last else None if None in last else False)
    assert answers(checked, frame) == expected
    assert checked.days == 1 + kept


SEVERAL = """\
- {rule: hot, asset_type: pump, when: temp.mean > 80, failure_mode: HOT, severity: major, act_within: 2d, text: TEXT}
- {rule: hotter, asset_type: pump, when: temp.mean > 90, failure_mode: HOT, severity: major, act_within: 2d, text: TEXT}
- rule: worn
  asset_type: pump
  when: current.mean > 10
  requires: [REQUIRED]
  failure_mode: WORN
  severity: minor
  act_within: 7d
  text: TEXT
""".replace("TEXT", "{en: x, zh: x}")


@pytest.mark.parametrize(
    ("required", "temp", "expected"),
    [
        ("hot", [85.0, 20.0, None], [True, False, None]),
        ("hotter", [85.0, 95.0, None], [False, True, None]),
        ("HOT", [85.0, 95.0, 20.0], [True, True, False]),
        ("temp.p95", [85.0, 95.0, 20.0], [None, None, None]),
        ("temp.mean", [85.0, None, 20.0], [True, None, True]),
        ("hot, temp.mean", [85.0, None, 20.0], [True, None, False]),
    ],
)
def test_a_rule_holds_only_with_what_it_requires(
    tmp_path: Path, required: str, temp: list[float | None], expected: list[bool | None]
) -> None:
    rules = rule_set(tmp_path, SEVERAL.replace("REQUIRED", required))
    frame = Frame(panel(temp_mean=temp, current_mean=[12.0] * 3))
    results = rules.evaluate("pump", frame, {})
    assert [result.rule.name for result in results] == ["hot", "hotter", "worn"]
    assert [None if v is pd.NA else bool(v) for v in results[2].condition] == expected
    calm = rules.evaluate("pump", Frame(panel(temp_mean=temp, current_mean=[2.0] * 3)), {})[2].condition
    assert not (calm == True).any()  # noqa: E712 - three-valued


def test_what_is_required_may_stand_later_in_the_file_and_looks_back_too(tmp_path: Path) -> None:
    text = SEVERAL.replace("REQUIRED", "seldom") + SEVERAL[SEVERAL.index("- rule: worn") :].replace(
        "rule: worn", "rule: seldom"
    ).replace("requires: [REQUIRED]", "for: 2 of 5 days\n  keep_for: 3 days")
    rules = {rule.name: rule for rule in rule_set(tmp_path, text).rules}
    assert rules["worn"].days == rules["seldom"].days == 8


def test_a_rule_is_valid_by_the_attributes_of_the_register(tmp_path: Path) -> None:
    frame = Frame(panel(temp_mean=[90.0]))
    valid = 'valid: {attributes: {software: {since: "2.4", before: "3"}, maker: {is: [acme, borealis]}}}'
    text = SEVERAL.splitlines()[0].replace("severity", f"{valid}, severity") + "\n"
    known = Asset(id="X", asset_type="pump", site="berlin", attributes={"software": "2", "maker": "acme"})
    place = Register((BERLIN,), (PUMP,), (known,))
    path = tmp_path / "rules" / "pump.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    (checked,) = load([path], place, knowledge(), ()).rules

    def answer(**attributes: str) -> bool | None:
        asset = Asset(id="P", asset_type="pump", site="berlin", attributes=attributes)
        (value,) = checked.evaluate(frame, {"P": asset}, {}).condition
        return None if value is pd.NA else bool(value)

    assert answer(software="V2.10", maker="acme") is True
    assert answer(software="2.4.0", maker="borealis") is True
    assert answer(software="2.3.9", maker="acme") is False
    assert answer(software="3.0", maker="acme") is False
    assert answer(software="2.10", maker="other") is False
    assert answer(software="2.10") is None
    assert answer(software="", maker="acme") is None
    assert answer(software="1", maker="") is False


def test_versions_are_ordered_run_by_run() -> None:
    ordered = ["1.9", "2", "2.4", "2.4b", "2.4.1", "2.10-rc", "2.10.0.1", "10"]
    assert sorted(sorted(ordered), key=version_key) == ordered
    assert version_key("V2.4") == version_key("2.4.0") == version_key("v 2-4")


def test_a_rule_says_nothing_at_another_site_or_another_time(tmp_path: Path) -> None:
    frame = panel(temp_mean=[90.0] * 5)
    assert answers(rule(tmp_path, valid="{sites: [manaus]}"), frame) == [False] * 5
    assert answers(rule(tmp_path, valid="{sites: [manaus]}"), frame, "manaus") == [True] * 5
    dated = rule(tmp_path, valid="{since: 2026-03-02, until: 2026-03-03}")
    assert answers(dated, frame) == [False, True, True, False, False]


def test_its_text_holds_the_numbers_of_the_day_and_says_which_are_not_known(tmp_path: Path) -> None:
    checked = rule(tmp_path)
    frame = panel(temp_mean=[90.0, 81.26, None])
    result = checked.evaluate(Frame(frame), {}, {})
    said = [result.text(result.evidence(("P", pd.Timestamp(FIRST + day)), Frame(frame))) for day in (1, 2)]
    assert said[0].en == "81.3 and 81.3"
    assert said[0].zh == "+81 度 {}"
    assert said[1].en == "not reported and not reported"
    assert said[1].zh == "未上报 度 {}"


def test_evidence_stands_beside_what_was_normal_before_it_may_have_begun(tmp_path: Path) -> None:
    checked = rule(tmp_path, when="temp.mean > 80 and temp.mean.own > 3")
    days = [40.0, 42.0, None, 44.0] * 5 + [70.0] * 7 + [95.0]
    frame = panel(temp_mean=days).assign(**{"temp.mean.own": 5.0})
    evidence = checked.evaluate(Frame(frame), {}, {}).evidence(
        ("P", pd.Timestamp(FIRST + 27)), Frame(frame[["temp.mean"]])
    )
    assert [tuple(item) for item in evidence] == [("temp.mean", 95.0, 42.0), ("temp.mean.own", 5.0, 0.0)]


# The tests beside the rules.


def test_the_rules_of_the_sample_installation_pass_their_own_tests() -> None:
    installation = load_installation(RAIL)
    detectors = installation.settings.models.detectors
    rules = load(installation.rule_files, installation.register, installation.knowledge, detectors)
    report = rule_tests.run(rules, sorted((RAIL / "rules").glob("*_test.yaml")), installation.register.assets)
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
    report = rule_tests.run(rules, [cases(tmp_path, GOOD)], register().assets)
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
    report = rule_tests.run(rule_set(tmp_path), [cases(tmp_path, GOOD.replace(*change, 1))], register().assets)
    assert not report.ok
    assert says in [str(failure) for failure in report.failures]


def test_a_case_may_say_what_the_peers_show_and_where_and_when_it_is(tmp_path: Path) -> None:
    text = """\
- rule: often
  asset_type: pump
  when: above_peers(faults("P1", days=2)) >= 3 and sequence("P1", "P2", days=1)
  failure_mode: WORN
  severity: minor
  act_within: 7d
  valid: {sites: [manaus], since: 2026-05-01}
  text: {en: x, zh: x}
"""
    rules = rule_set(tmp_path, text)
    days = (
        "[{faults.P1.count: 2}, {faults.P1.count: 2, faults.P1.first: 3, faults.P1.last: 4, faults.P2.count: 1, LAST}]"
    )
    late = days.replace("LAST", "faults.P2.first: 5, faults.P2.last: 5")
    soon = days.replace("LAST", "faults.P2.first: 2, faults.P2.last: 2")
    for shown, fires in (
        (f"days: {late}\n  peers: {{faults.P1.count: 0}}", "true"),
        (f"days: {late}\n  peers: {{faults.P1.count: 1}}", "false"),
        (f"days: {soon}\n  peers: {{}}", "false"),
        (f"days: {late}", "unknown"),
        (f"days: {late}\n  peers: {{}}\n  asset: M-1", "true"),
        (f"days: {late}\n  peers: {{}}\n  asset: B-1", "false"),
        (f"days: {late}\n  peers: {{}}\n  first_day: 2026-04-29", "false"),
        (f"days: {late}\n  peers: {{}}\n  first_day: 2026-04-30", "true"),
    ):
        file = cases(tmp_path, f"- rule: often\n  case: c\n  {shown}\n  fires: {fires}\n")
        report = rule_tests.run(rules, [file], register().assets)
        assert not [failure for failure in report.failures if "expected" in str(failure)], shown
    file = cases(tmp_path, "- rule: often\n  case: c\n  days: [{}]\n  asset: M-3\n  fires: unknown\n")
    with pytest.raises(ConfigError, match=r"rules/pump_test.yaml:4: unknown asset 'M-3' of type 'pump'; did you mean"):
        rule_tests.run(rules, [file], register().assets)


def test_a_rule_without_a_case_that_fires_and_one_that_is_silent_fails(tmp_path: Path) -> None:
    half = re.sub(r"- rule: worn\n  case: no day(.|\n)*", "", GOOD)
    report = rule_tests.run(rule_set(tmp_path), [cases(tmp_path, half)], register().assets)
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
        rule_tests.run(rules, [cases(tmp_path, text)], register().assets)
    assert str(caught.value).startswith(says)
