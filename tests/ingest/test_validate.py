"""Only what can be true passes: each way of being wrong has its reason and names its field."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.register import Asset, AssetType, FaultCode, Register, Signal, Site, Text
from ingest.decoders.decoder import Decoded, FaultReport, Sample
from ingest.validate import Checked, Validator
from telemetry.records import FaultEvent, Measurements

NOW = 1_790_000_000_000_000_000
SECOND, DAY = 10**9, 86_400 * 10**9
SKEW, AGE = 300 * SECOND, 400 * DAY


def check(register: Register, decoded: Decoded, asset_id: str = "bus-1") -> Checked:
    return Validator(register, skew=SKEW, age=AGE).check(asset_id, decoded, NOW)


def sample(time: int = NOW, where: str = "", **values: float) -> Decoded:
    return Decoded(samples=[Sample(time, values, where)])


def fault(code: str = "F1", severity: str = "", time: int = NOW) -> Decoded:
    return Decoded(faults=[FaultReport(time, code, "set", 0, severity, {"speed": 1.0})])


def named(checked: Checked) -> list[tuple[str, str]]:
    return [(reject.reason, reject.field) for reject in checked.rejects]


def test_what_is_right_passes_unchanged(register: Register) -> None:
    checked = check(register, sample(rpm=1500.0, oil_temp=-1e30))
    assert checked.measurements == [Measurements.at("bus-1", NOW, {"rpm": 1500.0, "oil_temp": -1e30})]
    checked = check(register, fault("F2", "major"))
    assert checked.faults == [FaultEvent("bus-1", "F2", NOW, 0, "set", "major", {"speed": 1.0})]
    assert (checked.rejected, len(checked.rejects)) == (0, 0)


@pytest.mark.parametrize(("value", "passes"), [(0.0, True), (5000.0, True), (-0.001, False), (5000.001, False)])
def test_a_range_holds_both_its_ends(register: Register, value: float, passes: bool) -> None:
    checked = check(register, sample(rpm=value))
    assert bool(checked.measurements) is passes
    assert named(checked) == ([] if passes else [("out-of-range", "signals.rpm")])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("signal", ["rpm", "oil_temp"])
def test_what_is_not_finite_never_passes_even_without_a_range(register: Register, signal: str, value: float) -> None:
    checked = check(register, sample(**{signal: value}))
    assert not checked.measurements
    assert named(checked) == [("out-of-range", f"signals.{signal}")]


def test_the_wrong_value_is_left_out_and_the_rest_of_its_sample_stored(register: Register) -> None:
    decoded = sample(where="samples[4].", rpm=9999.0, oil_temp=88.0, rmp=1.0)
    checked = check(register, decoded)
    assert checked.measurements == [Measurements.at("bus-1", NOW, {"oil_temp": 88.0})]
    assert checked.rejected == 0
    assert named(checked) == [("out-of-range", "samples[4].signals.rpm"), ("unknown-signal", "samples[4].signals.rmp")]
    assert "did you mean 'rpm'" in str(checked.rejects)


def test_a_sample_of_which_nothing_is_left_counts_as_refused_once(register: Register) -> None:
    checked = check(register, sample(rpm=9999.0, rmp=1.0))
    assert (checked.rejected, len(checked.rejects), checked.measurements) == (1, 2, [])
    checked = check(register, sample())
    assert (checked.rejected, named(checked)) == (1, [("missing", "signals")])


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(0, None), (SKEW, None), (SKEW + 1, "future"), (365 * DAY, "future"), (-AGE, None), (-AGE - 1, "too-old")],
)
def test_a_time_is_taken_from_the_greatest_age_to_the_allowed_skew(
    register: Register, offset: int, reason: str | None
) -> None:
    for decoded in (sample(NOW + offset, rpm=1.0), fault(time=NOW + offset)):
        checked = check(register, decoded)
        assert [reject.reason for reject in checked.rejects] == ([reason] if reason else [])
        assert checked.rejected == (1 if reason else 0)
        assert checked.taken == (0 if reason else 1)


def test_an_asset_that_is_not_in_the_register_is_refused_with_the_nearest_that_is(register: Register) -> None:
    validator = Validator(register, skew=SKEW, age=AGE)
    assert validator.unknown_asset("bus-1") is None
    reject = validator.unknown_asset("bus_1")
    assert reject is not None
    assert (reject.reason, reject.field) == ("unknown-asset", "topic")
    assert "did you mean 'bus-1'" in reject.detail


def test_a_payload_that_names_another_asset_is_refused_in_full(register: Register) -> None:
    decoded = Decoded(asset_id="bus-2", samples=[Sample(NOW + i, {"rpm": 1.0}) for i in range(3)])
    checked = check(register, decoded)
    assert (checked.rejected, checked.measurements, named(checked)) == (3, [], [("other-asset", "asset_id")])
    decoded.asset_id = "bus-1"
    assert check(register, decoded).taken == 3


def test_an_unknown_fault_code_is_refused_with_the_nearest_known(register: Register) -> None:
    checked = check(register, fault("F11"))
    assert (checked.rejected, checked.faults, named(checked)) == (1, [], [("unknown-code", "code")])
    assert "did you mean" in str(checked.rejects)


def test_an_unknown_severity_is_left_out_and_the_fault_stored(register: Register) -> None:
    checked = check(register, fault("F1", "terrible"))
    assert [event.severity for event in checked.faults] == [""]
    assert (checked.rejected, named(checked)) == (0, [("unknown-severity", "severity")])


def test_with_an_open_vocabulary_any_code_of_the_right_shape_passes() -> None:
    text = Text(en="x", zh="x")
    pump = AssetType(id="pump", title=text, signals=(Signal(name="rpm", unit="rpm"),), faults=(), open_vocabulary=True)
    register = Register((Site(id="s", title="S"),), (pump,), (Asset(id="p", asset_type="pump", site="s"),))
    assert len(check(register, fault("SPN-100.FMI_3"), "p").faults) == 1
    for code in ("", "a b", "-x", "x" * 33, "x\n", "x,y", "\ud800"):
        checked = check(register, fault(code), "p")
        assert (checked.faults, named(checked)) == ([], [("unknown-code", "code")])


def test_a_thousand_unknown_names_cost_no_thousand_searches_for_the_nearest(register: Register) -> None:
    checked = check(register, sample(**{f"rpm_{i}": 1.0 for i in range(1000)}))
    assert len(checked.rejects) == 1000
    assert str(checked.rejects).count("did you mean") <= 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("place", range(5))
def test_what_is_not_finite_is_found_wherever_it_stands_in_a_batch(
    register: Register, place: int, value: float
) -> None:
    samples = [Sample(NOW + n, {"rpm": float(n), "oil_temp": 80.0}, f"samples[{n}].") for n in range(5)]
    samples[place] = Sample(NOW + place, {"rpm": value, "oil_temp": 80.0}, f"samples[{place}].")
    checked = check(register, Decoded(samples=samples))
    assert named(checked) == [("out-of-range", f"samples[{place}].signals.rpm")]
    assert all(math.isfinite(number) for measured in checked.measurements for number in measured.values)
    assert checked.taken == 5


NAMES = st.sampled_from(["rpm", "oil_temp", "rmp", "", "x" * 100, "\ud800"])


@given(
    st.lists(st.tuples(st.integers(NOW - 2 * AGE, NOW + 2 * SKEW), st.dictionaries(NAMES, st.floats())), max_size=5),
    st.lists(st.tuples(st.sampled_from(["F1", "F2", "F3", ""]), st.text(max_size=8)), max_size=3),
)
def test_whatever_passes_is_known_finite_in_range_and_in_time(
    samples: list[tuple[int, dict[str, float]]], faults: list[tuple[str, str]]
) -> None:
    text = Text(en="x", zh="x")
    bus = AssetType(
        id="bus",
        title=text,
        signals=(Signal(name="rpm", unit="rpm", low=0, high=5000), Signal(name="oil_temp", unit="degC")),
        faults=(FaultCode(code="F1", title=text), FaultCode(code="F2", title=text)),
    )
    register = Register((Site(id="s", title="S"),), (bus,), (Asset(id="bus-1", asset_type="bus", site="s"),))
    decoded = Decoded(
        samples=[Sample(time, values) for time, values in samples],
        faults=[FaultReport(NOW, code, "set", 0, severity, {}) for code, severity in faults],
    )
    checked = check(register, decoded)
    assert checked.taken + checked.rejected == len(samples) + len(faults)
    for time, values in (row for measured in checked.measurements for row in measured.rows()):
        assert NOW - AGE <= time <= NOW + SKEW
        assert values
        assert set(values) <= {"rpm", "oil_temp"}
        assert all(map(math.isfinite, values.values()))
        assert 0 <= values.get("rpm", 0) <= 5000
    assert all(event.code in ("F1", "F2") for event in checked.faults)
    assert all(event.severity in ("", "info", "minor", "major", "critical") for event in checked.faults)
    kept = sum(len(measured.values) for measured in checked.measurements)
    assert kept == sum(len(values) for _, values in samples) or checked.rejects


@given(
    st.lists(
        st.tuples(
            st.integers(NOW - AGE - 2, NOW + SKEW + 2) | st.just(NOW),
            st.fixed_dictionaries({}, optional={"rpm": st.floats(-1, 5001) | st.floats(), "oil_temp": st.floats()})
            | st.fixed_dictionaries({"rpm": st.floats(0, 5000) | st.sampled_from([math.nan, 5001.0])}),
        ),
        max_size=6,
    )
)
def test_a_batch_is_judged_as_its_samples_are_one_by_one(samples: list[tuple[int, dict[str, float]]]) -> None:
    text = Text(en="x", zh="x")
    signals = (Signal(name="rpm", unit="rpm", low=0, high=5000), Signal(name="oil_temp", unit="degC"))
    bus = AssetType(id="bus", title=text, signals=signals)
    register = Register((Site(id="s", title="S"),), (bus,), (Asset(id="bus-1", asset_type="bus", site="s"),))
    single = [Sample(time, values, f"samples[{n}].") for n, (time, values) in enumerate(samples)]
    together = check(register, Decoded(samples=single))
    apart = [check(register, Decoded(samples=[one])) for one in single]
    assert [(m.asset_id, *row) for m in together.measurements for row in m.rows()] == [
        (m.asset_id, *row) for one in apart for m in one.measurements for row in m.rows()
    ]
    assert together.rejected == sum(one.rejected for one in apart)
    assert [str(r) for r in together.rejects][:20] == [str(r) for one in apart for r in one.rejects][:20]
