"""docs/ingest.md and the schemas beside it against the decoder: examples, bounds, reasons."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.register import SEVERITIES
from config.settings import Ingest, Mqtt
from ingest import quarantine, sequence
from ingest.counters import Counters
from ingest.decoders.decoder import KINDS, MAX_NAME, Kind, Limits
from ingest.decoders.json import JsonDecoder

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/ingest.md").read_text(encoding="utf-8")
DECODERS = (ROOT / "docs" / "decoders.md").read_text(encoding="utf-8")
SCHEMAS: dict[str, Any] = {
    kind: json.loads((ROOT / f"docs/schemas/{kind}.schema.json").read_text(encoding="utf-8")) for kind in KINDS
}
EXAMPLES = re.findall(r"^```json (\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_ANNOTATIONS = {"$schema", "title", "description", "$defs", "format"}


def fits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether a value is valid by the keywords of JSON Schema 2020-12 that we use; another one fails the test."""
    for keyword, wanted in schema.items():
        if keyword not in _ANNOTATIONS and not _fits(keyword, wanted, value, schema, root):
            return False
    return True


def _fits(keyword: str, wanted: Any, value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    is_object, is_text = isinstance(value, dict), isinstance(value, str)
    is_number = _TYPES["number"](value)
    match keyword:
        case "$ref":
            return fits(value, root["$defs"][wanted.removeprefix("#/$defs/")], root)
        case "type":
            return _TYPES[wanted](value)
        case "enum":
            return value in wanted
        case "required":
            return not is_object or all(name in value for name in wanted)
        case "properties":
            return not is_object or all(fits(value[name], part, root) for name, part in wanted.items() if name in value)
        case "additionalProperties":
            others = (
                [] if not is_object else [v for name, v in value.items() if name not in schema.get("properties", {})]
            )
            return all(fits(other, wanted, root) for other in others)
        case "propertyNames":
            return not is_object or all(fits(name, wanted, root) for name in value)
        case "minProperties":
            return not is_object or len(value) >= wanted
        case "maxProperties":
            return not is_object or len(value) <= wanted
        case "items":
            return not isinstance(value, list) or all(fits(item, wanted, root) for item in value)
        case "minItems":
            return not isinstance(value, list) or len(value) >= wanted
        case "maxItems":
            return not isinstance(value, list) or len(value) <= wanted
        case "pattern":
            return not is_text or re.search(wanted, value) is not None
        case "maxLength":
            return not is_text or len(value) <= wanted
        case "minimum":
            return not is_number or value >= wanted
        case "maximum":
            return not is_number or value <= wanted
        case "exclusiveMinimum":
            return not is_number or value > wanted
        case "exclusiveMaximum":
            return not is_number or value < wanted
        case "not":
            return not fits(value, wanted, root)
        case "anyOf":
            return any(fits(value, part, root) for part in wanted)
        case "oneOf":
            return sum(fits(value, part, root) for part in wanted) == 1
    raise AssertionError(f"a keyword that this test does not know: {keyword}")


def valid(kind: str, content: Any) -> bool:
    return fits(content, SCHEMAS[kind], SCHEMAS[kind])


def test_each_kind_has_an_example() -> None:
    assert {kind for kind, _ in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_each_example_fits_its_schema_and_decodes_without_a_word(kind: Kind, example: str) -> None:
    assert valid(kind, json.loads(example))
    found = JsonDecoder().decode(kind, example.encode())
    assert not found.rejects
    assert found.samples or found.faults or found.online is not None


TS = 1_790_000_000_000
SAMPLE = {"ts": TS, "signals": {"rpm": 1}}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("telemetry", []),
        ("telemetry", {}),
        ("telemetry", {"ts": TS}),
        ("telemetry", {"signals": {"rpm": 1}}),
        ("telemetry", {"ts": TS, "signals": {}}),
        ("telemetry", {"ts": TS, "signals": {"rpm": "1"}}),
        ("telemetry", {"ts": TS, "signals": {"rpm": None}}),
        ("telemetry", {"ts": TS, "signals": {"rpm": True}}),
        ("telemetry", {"ts": TS, "signals": {f"s{i}": 1 for i in range(1001)}}),
        ("telemetry", {"ts": "2026-09-21T14:13:20", "signals": {"rpm": 1}}),
        ("telemetry", {"ts": "yesterday", "signals": {"rpm": 1}}),
        ("telemetry", {"ts": 12345678901234567890, "signals": {"rpm": 1}}),
        ("telemetry", {"ts": 1.5, "signals": {"rpm": 1}}),
        ("telemetry", {"ts": 0, "signals": {"rpm": 1}}),
        ("telemetry", SAMPLE | {"seq": -1}),
        ("telemetry", SAMPLE | {"seq": 2**63}),
        ("telemetry", SAMPLE | {"seq": "1"}),
        ("telemetry", SAMPLE | {"asset_id": 5}),
        ("telemetry", {"samples": []}),
        ("telemetry", {"samples": [SAMPLE] * 10_001}),
        ("telemetry", {"samples": [SAMPLE], "ts": TS}),
        ("telemetry", {"samples": [SAMPLE], "signals": {"rpm": 1}}),
        ("telemetry", {"samples": [{"ts": TS}]}),
        ("faults", {"ts": TS}),
        ("faults", {"code": "F1"}),
        ("faults", {"ts": TS, "code": 5}),
        ("faults", {"ts": TS, "code": "F1", "state": "on"}),
        ("faults", {"ts": TS, "code": "F1", "occurrence": -1}),
        ("faults", {"ts": TS, "code": "F1", "context": {"n" * 65: 1}}),
        ("faults", {"ts": TS, "code": "F1", "context": {"mode": "eco"}}),
        ("faults", {"ts": TS, "code": "F1", "context": {str(i): 1 for i in range(101)}}),
        ("status", {}),
        ("status", {"online": 1}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_the_decoder_refuses_the_schema_refuses(kind: Kind, content: Any) -> None:
    assert not valid(kind, content)
    found = JsonDecoder().decode(kind, json.dumps(content).encode())
    empty = [sample for sample in found.samples if not sample.values]  # refused in validation
    assert found.rejects or empty


NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,47}\Z")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20)
TIMES = st.integers(1, 4_102_444_799_999) | st.datetimes().filter(lambda at: 1970 < at.year < 2100).map(
    lambda at: at.isoformat(timespec="microseconds") + "+05:30"
)
SAMPLES = st.fixed_dictionaries({"ts": TIMES, "signals": st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=5)})
COMMON = {"seq": st.integers(0, 2**63 - 1), "asset_id": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")}
GOOD = st.one_of(
    st.tuples(
        st.just("telemetry"), st.tuples(SAMPLES, st.fixed_dictionaries({}, optional=COMMON)).map(lambda p: p[0] | p[1])
    ),
    st.tuples(
        st.just("telemetry"),
        st.fixed_dictionaries({"samples": st.lists(SAMPLES, min_size=1, max_size=4)}, optional=COMMON),
    ),
    st.tuples(
        st.just("faults"),
        st.fixed_dictionaries(
            {"ts": TIMES, "code": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")},
            optional=COMMON
            | {
                "state": st.sampled_from(["set", "clear"]),
                "severity": st.sampled_from(SEVERITIES),
                "occurrence": st.integers(0, 2**63 - 1),
                "context": st.dictionaries(st.text(max_size=64), NUMBERS, max_size=5),
            },
        ),
    ),
)


@settings(deadline=None)
@given(GOOD)
def test_what_fits_the_schema_decodes_without_a_word(message: tuple[Kind, Any]) -> None:
    kind, content = message
    assert valid(kind, content)
    assert str(JsonDecoder().decode(kind, json.dumps(content).encode()).rejects) == ""


def test_every_reason_stands_in_the_table_and_nothing_else_does() -> None:
    given_in_code = set()
    for path in (ROOT / "ingest").rglob("*.py"):
        given_in_code |= set(
            re.findall(r'(?:Reject|_Wrong(?:ValueError)?|refused)\(\s*"([a-z0-9-]+)"', path.read_text(encoding="utf-8"))
        )
    assert (
        set(re.findall(r"^\| `([a-z0-9]+-[a-z0-9-]+|missing|contradiction|future)` \|", TEXT + DECODERS, re.MULTILINE))
        == given_in_code
    )


def test_every_count_stands_in_the_table() -> None:
    account = TEXT[TEXT.index("## The account") : TEXT.index("## When something is away")]
    named = re.findall(r"^\| `(\w+)` \|", account, re.MULTILINE)
    assert set(named) == set(Counters.__dataclass_fields__)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("payload", Ingest().max_payload_bytes),
        ("samples of a message", Ingest().max_samples),
        ("signals of a sample", Limits().signals),
        ("values of a context", Limits().context),
        ("values of a context", MAX_NAME),
        ("`ts` ahead of now", Ingest().allowed_clock_skew_s),
        ("`ts` behind now", Ingest().max_age_days),
        ("messages in flight", Mqtt().max_in_flight),
        ("messages written in one go", Ingest().batch_messages),
        ("quarantine", Ingest().quarantine_max_rows),
        ("quarantine", Ingest().quarantine_max_days),
        ("quarantine", quarantine.MAX_BYTES / 1_000_000),
        ("of a quarantined payload", quarantine.KEPT_BYTES),
        ("numbering remembered", sequence.MAX_EPOCHS),
        ("numbering remembered", sequence.MAX_INTERVALS),
    ],
)
def test_bounds_are_those_of_the_program(row: str, value: float) -> None:
    [line] = re.findall(rf"^\| {row}[^|]*\|([^|]*)\|", TEXT, re.MULTILINE)
    assert re.search(rf"(?<![\d,]){int(value):,}(?!,?\d)", line)


def test_bounds_of_the_schemas_are_those_of_the_decoder() -> None:
    assert SCHEMAS["telemetry"]["properties"]["samples"]["maxItems"] == Ingest().max_samples == Limits().samples
    assert SCHEMAS["telemetry"]["$defs"]["signals"]["maxProperties"] == Limits().signals
    assert SCHEMAS["faults"]["properties"]["context"]["maxProperties"] == Limits().context
    assert SCHEMAS["faults"]["properties"]["severity"]["enum"] == list(SEVERITIES)
