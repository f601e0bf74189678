"""Rules on a history with a known answer: what each was worth, what a change changes, who may open tickets after."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from history_folder import write_history
from influx_server import Bucket
from program import here

from config.installation import load
from fleetdx.wiring import load_rules
from telemetry.influxdb import InfluxDBStore

pytestmark = pytest.mark.slow

FAILS_ON = [(2, 14), (5, 19), (4, 17)]
RULES = """\
- rule: warm
  asset_type: pump
  when: temperature.mean > 64.5 degC and above_peers(temperature.mean) > 3 degC
  failure_mode: SEIZED
  severity: major
  act_within: 2d
  ticket: auto
  text: {en: Warm., zh: 热。}
- rule: nervous
  asset_type: pump
  when: temperature.max > 66 degC
  failure_mode: SEIZED
  severity: minor
  act_within: 7d
  ticket: auto
  text: {en: Perhaps., zh: 也许。}
- rule: in-order
  asset_type: pump
  when: sequence("P2", "P2", days=1) and faults_per_hour("P2", days=3) > 0
  requires: [warm, temperature.mean]
  keep_for: 1 days
  failure_mode: SEIZED
  severity: minor
  act_within: 7d
  text: {en: Again., zh: 又来。}
- rule: just-serviced
  asset_type: pump
  when: days_since_maintenance("pump") <= 3 d
  failure_mode: WORN
  severity: info
  act_within: 7d
  text: {en: Serviced., zh: 已检修。}
"""
CASES = """\
- {rule: warm, case: a, days: [{temperature.mean: 66}], peers: {temperature.mean: 60}, fires: true}
- {rule: warm, case: b, days: [{temperature.mean: 60}], peers: {temperature.mean: 60}, fires: false}
- {rule: nervous, case: a, days: [{temperature.max: 70}], fires: true}
- {rule: nervous, case: b, days: [{temperature.max: 60}], fires: false}
- rule: in-order
  case: twice in one day
  days: [{temperature.mean: 66, exposure.hours: 24, faults.P2.count: 2, faults.P2.first: 1, faults.P2.last: 7}]
  peers: {temperature.mean: 60}
  fires: true
- rule: in-order
  case: once
  days: [{temperature.mean: 66, exposure.hours: 24}, {temperature.mean: 66, exposure.hours: 24, faults.P2.count: 1}]
  peers: {temperature.mean: 60}
  fires: unknown
- rule: in-order
  case: not at all
  days: [{temperature.mean: 66, exposure.hours: 24}, {temperature.mean: 66, exposure.hours: 24}]
  peers: {temperature.mean: 60}
  fires: false
- {rule: just-serviced, case: a, days: [{service.pump.age: 1}], fires: true}
- {rule: just-serviced, case: b, days: [{service.pump.age: 100}], fires: false}
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_history(tmp_path_factory.mktemp("history") / "pumps", days=24, pumps=6, fails_on=FAILS_ON, hours=3)


def configuration(folder: Path, history: Path, rules: str = RULES, min_precision: str = "0.7") -> Path:
    files = {
        "settings.yaml": f"rules: {{min_precision: {min_precision}}}\ndaily: {{lateness_minutes: 60}}\n",
        "sites.yaml": "- {id: works, title: Works}\n",
        "assets.csv": (history / "assets.csv").read_text(),
        "asset_types/pump.yaml": (
            "id: pump\ntitle: {en: Pump, zh: 泵}\ncomponents: [pump]\n"
            "signals:\n  - {name: temperature, unit: degC, period: 10800}\n"
            "  - {name: current, unit: A, period: 10800}\n"
            "faults:\n  - {code: P2, title: {en: Hot, zh: 热}}\n"
        ),
        "knowledge/pump.yaml": (
            "failure_modes:\n  - {code: SEIZED, title: {en: Seized, zh: 卡死}}\n"
            "  - {code: WORN, title: {en: Worn, zh: 磨损}}\n"
        ),
        "rules/pump.yaml": rules,
        "rules/pump_test.yaml": CASES,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def walked(history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answer to a back-test of the rules against a version without ``nervous`` and a cooler ``warm``."""
    folder = tmp_path_factory.mktemp("configurations")
    before = RULES.replace("64.5 degC", "66.5 degC")
    before = before[: before.index("- rule: nervous")] + before[before.index("- rule: in-order") :]
    cases = "".join(line for line in CASES.splitlines(keepends=True) if "nervous" not in line)
    old = configuration(folder / "old", history, before)
    (old / "rules" / "pump_test.yaml").write_text(cases, encoding="utf-8")
    new = configuration(folder / "new", history)
    answer = here("rules", "backtest", history, "-c", new, "--against", old, "--json")
    assert answer.code == 0, answer.err
    return answer.json()  # type: ignore[no-any-return]


def test_each_rule_is_judged_alone_by_the_failures_of_its_mode(walked: dict[str, Any]) -> None:
    assert (walked["asset_days"], walked["failures"]) == (6 * 24, 3)
    warm, nervous = walked["rules"]["warm"], walked["rules"]["nervous"]
    assert (warm["caught"], warm["recall"], warm["precision"]) == (3, 1.0, 1.0)
    assert warm["tickets"] == 3
    assert warm["tickets_per_100_asset_days"] == pytest.approx(100 * 3 / 144, abs=1e-4)
    assert 12 < warm["p10_lead_hours"] <= warm["median_lead_hours"] < 6 * 24
    assert nervous["tickets"] > warm["tickets"]
    assert nervous["precision"] < 0.7
    assert nervous["median_lead_hours"] > warm["median_lead_hours"]
    assert 0 < walked["rules"]["in-order"]["tickets"] <= 3
    unseen = walked["rules"]["just-serviced"]
    assert (unseen["tickets"], unseen["failures"], unseen["precision"], unseen["recall"]) == (3, 0, None, None)
    # One failure mode, one ticket: the first of the two rules that open any speaks for both.
    assert walked["together"]["tickets"] >= nervous["tickets"] - 1


def test_the_difference_to_the_active_version_is_told(walked: dict[str, Any]) -> None:
    difference = walked["against"]["difference"]
    assert difference["rules"] == {"new": ["nervous"], "gone": [], "changed": ["warm"]}
    tickets = difference["tickets"]
    assert tickets["nervous"]["new"] == walked["rules"]["nervous"]["tickets"]
    assert tickets["warm"]["moved"] >= 1  # a lower bar is passed sooner
    assert sum(tickets["warm"][kind] for kind in ("new", "moved", "same")) == walked["rules"]["warm"]["tickets"]
    assert "just-serviced" not in tickets


def test_a_person_gets_a_table(history: Path, tmp_path: Path) -> None:
    answer = here("rules", "backtest", history, "-c", configuration(tmp_path, history), "--until", "2025-01-16")
    assert (answer.code, answer.out) == (0, "")
    assert "96 asset-days, 1 failures" in answer.err
    assert re.search(r"warm .*auto .*100\.0 %", answer.err)
    assert "knows no failure of WORN" in answer.err


def approvals(folder: Path) -> list[dict[str, Any]]:
    found = yaml.safe_load((folder / "rules" / "approvals.yaml").read_text(encoding="utf-8"))
    assert isinstance(found, list)
    return found


def held_back(folder: Path) -> dict[str, str]:
    return dict(load_rules(load(folder)).held_back)


def test_a_rule_opens_tickets_only_after_it_was_activated(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = configuration(tmp_path, history)
    monkeypatch.setenv("FLEETDX_APPROVAL_KEY", "kept in a safe")
    assert held_back(folder) == dict.fromkeys(("warm", "nervous"), "it was never activated")
    rules = {rule.name: rule for rule in load_rules(load(folder)).rules}
    assert {rule.ticket for rule in rules.values()} == {"review"}
    said = here("check-config", folder)
    assert said.code == 0
    assert "Rule nervous opens no tickets by itself and runs as review: it was never activated" in said.err

    answer = here("rules", "activate", folder, "--history", history, "--json")
    assert answer.code == 1
    found = answer.json()
    assert [record["rule"] for record in found["approved"]] == ["warm"]
    assert re.fullmatch(r"precision 0\.\d+ is below 0\.70 \(\d+ of \d+\)", found["refused"]["nervous"])
    assert held_back(folder) == {"nervous": "it was never activated"}
    (record,) = approvals(folder)
    assert (record["precision"], record["tickets"], record["failures"]) == (1.0, 3, 3)
    assert "override" not in record

    by = ("--override-by", "Wang Li", "--reason", "wanted by the depot until the sensors are changed")
    answer = here("rules", "activate", folder, "--history", history, *by, "--json")
    assert (answer.code, answer.json()["refused"]) == (0, {})
    assert held_back(folder) == {}
    override = {record["rule"]: record.get("override") for record in approvals(folder)}
    assert override["nervous"] == {"by": "Wang Li", "reason": "wanted by the depot until the sensors are changed"}
    assert override["warm"] is None
    assert {rule.name: rule.ticket for rule in load_rules(load(folder)).rules}["nervous"] == "auto"

    # No way around: by hand, by another rule under the same name, by another key, by a rule that it requires.
    file = folder / "rules" / "approvals.yaml"
    genuine = file.read_text(encoding="utf-8")
    file.write_text(genuine.replace("precision: 1.0", "precision: 0.9"), encoding="utf-8")
    assert "changed by hand" in held_back(folder)["warm"]
    file.write_text(genuine, encoding="utf-8")
    configuration(folder, history, RULES.replace("> 66 degC", "> 61 degC"))
    assert held_back(folder) == {"nervous": "it was changed since it was activated"}
    configuration(folder, history, RULES.replace("zh: 也许。", "zh: 可能。"))
    assert held_back(folder) == {}  # a better translation is no other rule
    configuration(folder, history)
    with monkeypatch.context() as other:
        other.setenv("FLEETDX_APPROVAL_KEY", "another")
        assert set(held_back(folder)) == {"warm", "nervous"}
        other.delenv("FLEETDX_APPROVAL_KEY")
        assert held_back(folder)["warm"] == "its approval cannot be checked: the key is not set"
    configuration(folder, history, min_precision="null")
    assert held_back(folder) == {}
    file.write_text("- {rule: warm}\n", encoding="utf-8")
    said = here("check-config", folder)
    assert said.code == 1
    assert "rules/approvals.yaml:1: " in said.err


def test_what_is_refused_before_the_walk(history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = configuration(tmp_path, history)
    monkeypatch.delenv("FLEETDX_APPROVAL_KEY", raising=False)
    without_key = here("rules", "activate", folder, "--history", history)
    assert (without_key.code, "FLEETDX_APPROVAL_KEY" in without_key.err) == (3, True)
    monkeypatch.setenv("FLEETDX_APPROVAL_KEY", "kept in a safe")
    nobody = here("rules", "activate", folder, "--history", history, "--reason", "because it is wanted")
    assert (nobody.code, "go together" in nobody.err) == (3, True)
    no_reason = here("rules", "activate", folder, "--history", history, "--override-by", "x", "--reason", "no")
    assert (no_reason.code, "10 to 1,000" in no_reason.err) == (3, True)
    (folder / "rules" / "pump_test.yaml").write_text(CASES.replace("fires: true", "fires: false", 1), encoding="utf-8")
    failing = here("rules", "activate", folder, "--history", history)
    assert (failing.code, "the tests of the rules fail" in failing.err) == (1, True)
    configuration(folder, history, min_precision="null")
    no_bar = here("rules", "activate", folder, "--history", history)
    assert (no_bar.code, "min_precision" in no_bar.err) == (3, True)
    assert not (folder / "rules" / "approvals.yaml").exists()


def test_no_walk_reads_or_writes_the_bucket_of_the_service(
    history: Path, tmp_path: Path, influxdb: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = configuration(tmp_path / "config", history)
    where = f"url: {influxdb.url}, org: {influxdb.org}, bucket: {influxdb.name}"
    with (folder / "settings.yaml").open("a") as settings:
        settings.write(f"store: {{kind: influxdb, {where}, token_env: BUCKET_TOKEN}}\n")
    service = closing(InfluxDBStore(influxdb.url, influxdb.org, influxdb.name, influxdb.token, timeout_s=30))
    monkeypatch.delenv("BUCKET_TOKEN", raising=False)  # who tries rules out need not hold it
    walks = [
        ("rules", "backtest", history, "-c", folder, "--json"),
        ("rules", "activate", folder, "--history", history, "--json"),
        ("backtest", history, "-c", folder, "--horizon", "7", "--json"),
    ]
    with service as store:
        store.open()
        for token in (None, influxdb.token):
            for walk in walks:
                environment = {"FLEETDX_APPROVAL_KEY": "k" * 32} | ({"BUCKET_TOKEN": token} if token else {})
                answer = here(*walk, **environment)
                assert answer.code in (0, 1), answer.err
                assert answer.json()
                (folder / "rules" / "approvals.yaml").unlink(missing_ok=True)
        assert store.span() is None
        assert here("import", history, "-c", folder, "-d", tmp_path / "data", BUCKET_TOKEN=influxdb.token).code == 0
        assert store.span() is not None
