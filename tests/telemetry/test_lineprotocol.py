"""Line protocol against a reader of our own, written after the rules of InfluxDB's documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.lineprotocol import fault_line, measurement_text
from telemetry.records import FaultEvent, Measurements

# Names never hold a backslash (the configuration refuses it) nor a line break.
NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\\") | st.sampled_from(',= "'),
    min_size=1,
    max_size=20,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)

_BARE = r"(?:\\.|[^,= ])+"
_QUOTED = r'"(?:\\.|[^"\\])*"'


class Line(NamedTuple):
    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, str | float]
    time: int


def read(line: str) -> Line:
    match = re.fullmatch(rf"(\w+)((?:,{_BARE}={_BARE})*) ({_BARE}=.*) (-?\d+)", line, re.DOTALL)
    assert match is not None
    tags = {name(key): name(value) for key, value in re.findall(rf",({_BARE})=({_BARE})", match[2])}
    fields = re.findall(rf"({_BARE})=({_QUOTED}|[^,]+)(?:,|$)", match[3], re.DOTALL)
    return Line(match[1], tags, {name(key): value_of(text) for key, text in fields}, int(match[4]))


def name(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def value_of(text: str) -> str | float:
    return re.sub(r"\\([\"\\])", r"\1", text[1:-1]) if text.startswith('"') else float(text)


@given(NAMES, TIMES, st.dictionaries(NAMES, NUMBERS, min_size=1))
def test_a_measurement_of_any_names_is_one_line_that_reads_back(
    asset_id: str, time: int, values: dict[str, float]
) -> None:
    line = measurement_text([Measurements.at(asset_id, time, values)]).removesuffix("\n")
    assert "\n" not in line
    assert read(line) == Line("telemetry", {"asset_id": asset_id}, values, time)


@st.composite
def some_measurements(draw: st.DrawFn) -> Measurements:
    signals = tuple(draw(st.lists(NAMES, max_size=4, unique=True)))
    times = draw(st.lists(TIMES, min_size=1, max_size=4))
    numbers = NUMBERS | st.integers(-(2**53), 2**53)
    count = len(signals) * len(times)
    return Measurements(draw(NAMES), signals, times, draw(st.lists(numbers, min_size=count, max_size=count)))


@given(st.lists(some_measurements(), max_size=8))
def test_a_batch_is_a_line_each_and_every_number_a_float(batch: list[Measurements]) -> None:
    holding = [(measured.asset_id, *row) for measured in batch if measured.signals for row in measured.rows()]
    text = measurement_text(batch)
    assert text.count("\n") == len(holding)
    for line, (asset_id, time, values) in zip(text.splitlines() if holding else [], holding, strict=True):
        assert read(line) == Line("telemetry", {"asset_id": asset_id}, values, time)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_makes_no_line(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        measurement_text([Measurements.at("bus-1", 1, {"nine": 9.0}), Measurements.at("bus-1", 2, {"nine": value})])


def test_other_kinds_of_numbers_are_written_as_floats() -> None:
    values = {"a": np.float64(0.1), "b": True, "c": 3, "d": -0.0, "e": 5e-324, "f": 1.7976931348623157e308}
    line = measurement_text([Measurements.at("bus-1", 1, values)]).removesuffix("\n")
    assert line == "telemetry,asset_id=bus-1 a=0.1,b=1.0,c=3.0,d=-0.0,e=5e-324,f=1.7976931348623157e308 1"


@given(NAMES, NAMES, TIMES, st.integers(0, 2**63 - 1), TEXTS, st.dictionaries(TEXTS, NUMBERS))
def test_a_fault_of_any_text_is_one_line_that_reads_back(
    asset_id: str, code: str, time: int, occurrence: int, severity: str, context: dict[str, float]
) -> None:
    severity = severity.replace("\n", " ")
    line = fault_line(FaultEvent(asset_id, code, time, occurrence, "clear", severity, context))
    assert "\n" not in line
    found = read(line)
    assert found.tags == {"asset_id": asset_id, "code": code, "occurrence": str(occurrence)}
    assert found.fields["state"] == "clear"
    assert found.fields["severity"] == severity
    assert json.loads(str(found.fields["context"])) == context
    assert found.time == time


@given(st.integers(-(10**9), 10**9))
def test_a_whole_number_is_written_as_a_float(number: int) -> None:
    # A first value of 20 would make the field an integer for ever, and 20.5 be refused.
    line = measurement_text([Measurements.at("a", 1, {"x": number})]).removesuffix("\n")
    assert re.fullmatch(r"telemetry,asset_id=a x=-?[0-9]+\.[0-9]+ 1|telemetry,asset_id=a x=-?[0-9.]+e\+?[0-9]+ 1", line)


def test_a_measurement_without_values_makes_no_line() -> None:
    assert measurement_text([Measurements.at("a", 1, {})]) == ""
