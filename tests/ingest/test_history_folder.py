"""History folders: read, turned into the messages of gateways, imported, and imported again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from config.register import Register
from config.settings import Ingest
from config.source import ConfigError
from ingest.accounting import Accounting
from ingest.decoders.json import JsonDecoder
from ingest.history import SAMPLES_A_MESSAGE, History, import_history
from ingest.pipeline import Message, Pipeline
from telemetry.duckdb import DuckDBStore
from telemetry.memory import MemoryStore
from telemetry.store import StoreUnavailable, TelemetryStore

NOW = 1_790_000_000_000_000_000
SECOND = 10**9
START = 1_767_225_600 * SECOND  # 2026-01-01 00:00 UTC
TELEMETRY = """\
asset_id,time,RPM,Oil Temp
bus-1,2026-01-01T00:00:00Z,1500,80.5
bus-2,2026-01-01T00:00:00Z,1400,
bus-1,2026-01-01T00:01:00.25Z,,81
bus-1,2026-01-01T01:02:00+01:00,1600,82
bus-2,2026-01-01 02:00,,
bus-2,2026-01-01 02:00:01,1300,70
"""
FAULTS = """\
asset_id,time,code,state,severity,occurrence
bus-1,2026-01-01T00:00:30Z,F1,set,major,
bus-1,2026-01-01T00:00:30Z,F1,clear,,
bus-2,2026-01-01T03:00:00Z,F2,,,7
"""
Open = Callable[..., History]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "history"
    made.mkdir()
    (made / "telemetry.csv").write_text(TELEMETRY)
    (made / "faults.csv").write_text(FAULTS)
    return made


@pytest.fixture
def pipeline(register: Register, accounting: Accounting, store: MemoryStore) -> Pipeline:
    return importing(register, accounting, store)


def importing(register: Register, accounting: Accounting, store: TelemetryStore) -> Pipeline:
    return Pipeline(
        store, accounting, register, prefix="fleet", settings=Ingest(), clock=lambda: NOW, max_age_days=36_500
    )


def contents(store: TelemetryStore) -> tuple[list[object], list[object]]:
    frames = list(store.read_measurements(["bus-1", "bus-2", "bus-3"], ["rpm", "oil_temp"], 0, 2**62))
    frame = pd.concat(frames).astype(object)
    rows = frame.where(frame.notna(), None).to_numpy().tolist()
    faults = store.read_faults(["bus-1", "bus-2", "bus-3"], 0, 2**62).drop(columns="context").to_numpy().tolist()
    return rows, faults


EXPECTED = (
    [
        ["bus-1", START, 1500.0, 80.5],
        ["bus-1", START + 60_250_000_000, None, 81.0],
        ["bus-1", START + 120 * SECOND, 1600.0, 82.0],
        ["bus-2", START, 1400.0, None],
        ["bus-2", START + 7201 * SECOND, 1300.0, 70.0],
    ],
    [
        ["bus-1", "F1", START + 30 * SECOND, 0, "set", "major"],
        ["bus-1", "F1", START + 30 * SECOND, 1, "clear", ""],
        ["bus-2", "F2", START + 10_800 * SECOND, 7, "set", ""],
    ],
)


def test_an_imported_history_is_stored_and_counted(
    folder: Path, pipeline: Pipeline, accounting: Accounting, store: MemoryStore
) -> None:
    counted = import_history(History.open(folder), pipeline, accounting)
    assert contents(store) == EXPECTED
    assert (counted.stored, counted.received, counted.duplicates, counted.quarantined) == (8, 8, 0, 0)


def test_a_second_import_counts_duplicates_only_and_changes_nothing(
    folder: Path, register: Register, accounting: Accounting, tmp_path: Path
) -> None:
    store = DuckDBStore(tmp_path / "telemetry.duckdb")
    store.open()
    history = History.open(folder)
    import_history(history, importing(register, accounting, store), accounting)
    revisions = [(day.asset_id, day.day, day.revision) for day in accounting.arrivals()]
    again = import_history(history, importing(register, accounting, store), accounting)
    assert (again.stored, again.duplicates, again.received) == (0, 8, 8)
    assert [(day.asset_id, day.day, day.revision) for day in accounting.arrivals()] == revisions
    assert contents(store) == EXPECTED
    store.close()


def test_parquet_says_the_same_as_csv(
    folder: Path, pipeline: Pipeline, accounting: Accounting, store: MemoryStore
) -> None:
    for name in ("telemetry", "faults"):
        table = pd.read_csv(folder / f"{name}.csv")
        if name == "telemetry":
            table["time"] = pd.to_datetime(table["time"], utc=True, format="ISO8601")
        table.to_parquet(folder / f"{name}.parquet")
        (folder / f"{name}.csv").unlink()
    import_history(History.open(folder), pipeline, accounting)
    assert contents(store) == EXPECTED


def test_the_messages_are_what_gateways_would_have_sent(
    folder: Path, pipeline: Pipeline, accounting: Accounting, store: MemoryStore
) -> None:
    history = History.open(folder)
    messages = list(history.messages("fleet"))
    assert messages == list(history.messages("fleet"))
    times = [time for _, _, time in messages]
    assert all(time > max(times[:n]) - 3600 * SECOND for n, time in enumerate(times) if n)  # in order, hour by hour
    for topic, payload, _ in messages:
        assert not JsonDecoder().decode("faults" if topic.endswith("faults") else "telemetry", payload).rejects
    pipeline.take([Message(topic, payload) for topic, payload, _ in messages])
    assert contents(store) == EXPECTED
    # What was published and what is imported are the same messages.
    assert import_history(history, pipeline, accounting).duplicates == 8


def test_an_hour_of_one_asset_is_one_message_of_bounded_size(tmp_path: Path) -> None:
    rows = [f"bus-{1 + n % 2},{START // SECOND + n}" for n in range(7200)]
    lines = [f"{a},{pd.Timestamp(int(s), unit='s').isoformat()}Z,1" for a, s in (row.split(",") for row in rows)]
    (tmp_path / "telemetry.csv").write_text("asset_id,time,rpm\n" + "\n".join(lines))
    found = list(History.open(tmp_path).timed_messages())
    assert sum(message.samples for message in found) == 7200
    assert max(message.samples for message in found) == SAMPLES_A_MESSAGE
    for message in found:
        hours = {sample.time // (3600 * SECOND) for sample in message.report.decoded.samples}
        assert len(hours) == 1
    for asset in ("bus-1", "bus-2"):
        numbers = [message.report.decoded.seq for message in found if message.report.asset_id == asset]
        assert numbers == list(range(len(numbers)))


def test_what_is_wrong_in_a_row_is_quarantined_with_its_row(
    folder: Path, pipeline: Pipeline, accounting: Accounting, store: MemoryStore
) -> None:
    (folder / "telemetry.csv").write_text(
        "asset_id,time,rpm,rpn\nbus-1,2026-01-01,9999,\nbus-1,2026-01-02,1,5\nbus-9,2026-01-01,1,\n"
        "bus-1,2090-01-01,1,\nbus-1,2026-01-03,inf,\n"
    )
    counted = import_history(History.open(folder), pipeline, accounting)
    assert counted.reasons == {"future": 1, "out-of-range": 2, "unknown-asset": 1, "unknown-signal": 1}
    details = " ".join(row.detail for row in accounting.quarantined())
    for place in ("row 2.signals.rpm", "row 3.signals.rpn", "row 5.ts", "row 6.signals.rpm"):
        assert place in details
    assert (counted.stored, counted.flagged_values) == (1 + 3, 1)


@pytest.mark.parametrize(
    ("table", "text", "named"),
    [
        ("telemetry", "asset_id,rpm\nbus-1,1\n", ["telemetry.csv", "missing column 'time'"]),
        ("telemetry", "asset_id;time;rpm\n", ["telemetry.csv:1", "';'"]),
        ("telemetry", "asset_id,time,rpm\nbus-1,2026-01-01,1\nbus-1,soon,1\n", [":3", "'time'", "'soon'"]),
        ("telemetry", "asset_id,time,rpm\nbus-1,1500-01-01,1\n", [":2", "'1500-01-01'", "between 1971 and 2100"]),
        ("telemetry", "asset_id,time,rpm\nbus-1,9999-12-31,1\n", [":2", "between 1971 and 2100"]),
        (
            "telemetry",
            "asset_id,time,rpm\nbus-1,2026-01-01,1\nbus-1,2026-01-02,fast\n",
            ["telemetry.csv:3", "'rpm'", "fast"],
        ),
        ("telemetry", "asset_id,time,rpm\nbus-1,2026-01-01,1,2,3\n", ["telemetry.csv", "columns"]),
        ("faults", "asset_id,time,code,state\nbus-1,2026-01-01,F1,warm\n", [":2", "'state'", "'warm'"]),
        ("faults", "asset_id,time,code,occurrence\nbus-1,2026-01-01,F1,-1\n", [":2", "'occurrence'", "-1"]),
        ("faults", "asset_id,time,code,occurrence\nbus-1,2026-01-01,F1,0.5\n", [":2", "'occurrence'", "0.5"]),
    ],
)
def test_a_broken_table_is_told_with_file_row_and_column(
    folder: Path, pipeline: Pipeline, accounting: Accounting, table: str, text: str, named: list[str]
) -> None:
    (folder / f"{table}.csv").write_text(text)
    with pytest.raises(ConfigError) as broken:
        import_history(History.open(folder), pipeline, accounting)
    assert all(part in str(broken.value) for part in named), str(broken.value)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("asset_id,time,rpm\nbus-é,2026-01-01,1\n", "latin-1"),
        ("asset_id,time,Öl\nbus-1,2026-01-01,1\n", "latin-1"),
        ("asset_id,time,rpm\nbus-1,2026-01-01,1\n", "utf-16"),
    ],
)
def test_bytes_that_are_no_utf8_are_told(folder: Path, text: str, encoding: str) -> None:
    (folder / "telemetry.csv").write_bytes(text.encode(encoding))
    with pytest.raises(ConfigError, match=r"telemetry.csv: is not UTF-8; save it as CSV UTF-8"):
        list(History.open(folder).telemetry())


def test_a_folder_without_telemetry_and_faults_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "assets.csv").write_text("asset_id\nbus-1\n")
    with pytest.raises(ConfigError, match="neither telemetry nor faults"):
        History.open(tmp_path)
    assert History.tables_in(tmp_path).assets()["asset_id"].tolist() == ["bus-1"]


def test_two_formats_of_one_table_are_a_mistake(folder: Path) -> None:
    (folder / "faults.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match="keep one of the two"):
        History.open(folder)


def test_maintenance_and_failures_are_read_whole_and_may_be_absent(folder: Path) -> None:
    history = History.open(folder)
    assert history.maintenance().empty
    assert list(history.failures().columns) == ["asset_id", "time", "failure_mode"]
    (folder / "failures.csv").write_text("asset_id,time,failure_mode\nbus-1,2026-01-01T00:00:01Z,APU-LEAK\n")
    assert History.open(folder).failures().to_numpy().tolist() == [["bus-1", START + SECOND, "APU-LEAK"]]


def test_an_import_that_was_broken_off_is_finished_by_the_next(
    register: Register, accounting: Accounting, tmp_path: Path
) -> None:
    rows = 45_000  # more than two of the steps in which an import is stored
    times = pd.date_range("2026-01-01", periods=rows, freq="s").strftime("%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "telemetry.csv").write_text("asset_id,time,rpm\n" + "".join(f"bus-1,{t},1\n" for t in times))

    class Leaving(MemoryStore):
        calls = 0

        def write(self, *content: object) -> None:
            self.calls += 1
            if self.calls == 2:
                raise StoreUnavailable("away")
            super().write(*content)  # type: ignore[arg-type]

    store, told = Leaving(), list[int]()
    with pytest.raises(StoreUnavailable):
        import_history(
            History.open(tmp_path), importing(register, accounting, store), accounting, lambda n, _: told.append(n)
        )
    assert accounting.counters().stored == told[-1] >= 20_000
    rest = import_history(History.open(tmp_path), importing(register, accounting, store), accounting)
    assert (rest.stored, rest.duplicates) == (rows - told[-1], told[-1])
    assert accounting.counters().stored == rows


@pytest.mark.parametrize("time", ["2026-01-01", "2026-01-01T00:00:00Z", "1767225600000"])
def test_records_of_which_the_dates_alone_are_known_count_at_noon(folder: Path, time: str) -> None:
    """A ticket opens after midnight: at midnight a failure would have come before what the day before it told."""
    (folder / "failures.csv").write_text(f"asset_id,time,failure_mode\nbus-1,{time},APU-LEAK\n")
    (folder / "maintenance.csv").write_text(
        f"asset_id,time,component,action\nbus-1,{time},apu,checked\nbus-1,2026-01-02T08:00Z,apu,checked\n"
    )
    assert History.open(folder).failures()["time"].tolist() == [START + 43_200 * SECOND]
    assert History.open(folder).maintenance()["time"][0] == START + (43_200 * SECOND if len(time) == 10 else 0)


def test_names_become_those_of_the_installation(folder: Path) -> None:
    (folder / "telemetry.csv").write_text("asset_id,time,Oil Temp,车速\nBus #1 ,2026-01-01,80,1\n7.0,2026-01-01,80,2\n")
    (folder / "faults.csv").write_text("asset_id,time,code,state,severity\nBus #1,2026-01-01,SPN 110/0, SET,Major\n")
    (folder / "failures.csv").write_text("asset_id,time\n7,2026-01-01\n")
    (folder / "maintenance.csv").write_text("asset_id,time,component\n7,2026-01-02,gear box\n")
    history = History.open(folder)
    (telemetry,), (faults,) = history.telemetry(), history.faults()
    assert telemetry["asset_id"].tolist() == ["Bus-1", "7"]
    assert list(telemetry.columns)[2:] == ["oil_temp", "s_8402cd"]
    assert faults[["asset_id", "code", "state", "severity"]].to_numpy().tolist() == [
        ["Bus-1", "SPN-110-0", "set", "major"]
    ]
    assert history.failures()[["asset_id", "failure_mode"]].to_numpy().tolist() == [["7", "FAILURE"]]
    assert history.maintenance()[["component", "action"]].to_numpy().tolist() == [["gear box", ""]]
    assert {topic for topic, _, _ in history.messages("fleet")} == {
        "fleet/Bus-1/faults",
        "fleet/Bus-1/telemetry",
        "fleet/7/telemetry",
    }


def test_states_may_be_flags(folder: Path) -> None:
    states = ["1", "0", "True", "off", "Active", "cleared", ""]
    rows = [f"bus-1,2026-01-01T00:0{n}:00Z,F1,{state}" for n, state in enumerate(states)]
    (folder / "faults.csv").write_text("asset_id,time,code,state\n" + "\n".join(rows))
    (faults,) = History.open(folder).faults()
    assert faults["state"].tolist() == ["set", "clear", "set", "clear", "set", "clear", "set"]
