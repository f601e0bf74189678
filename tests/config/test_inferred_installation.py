"""What is read out of a history folder that brings no configuration."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.infer import infer
from config.naming import asset_name, code_name, plain_name, signal_name
from config.register import Asset, FaultCode, Signal, Text
from config.source import ConfigError

ASSETS = pd.DataFrame(
    {
        "asset_id": ["1", "2", "3"],
        "asset_type": ["Model A", "Model A", "model3"],
        "site": ["São Paulo", "São Paulo", "x"],
        "commissioned": ["2020-05-01", None, None],
        "age": ["18", "7", None],
    }
)
TELEMETRY = pd.DataFrame(
    {
        "asset_id": ["1", "2", "3"] * 3,
        "time": np.repeat(["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"], 3),
        "Oil Temp": [1.0, 2.0, None] * 3,
        "rpm": [None, 5.0, 6.0] * 3,
        "never": [None, None, float("nan")] * 3,
    }
)
FAULTS = pd.DataFrame(
    {
        "asset_id": ["1", "1", "2", "3", "9"],
        "time": ["2024-01-01T00:00:00Z"] * 5,
        "code": ["E1", "E1", "E1", "NA", "E9"],
        "severity": ["major", "major", "critical", "bad", "major"],
    }
)


def write(folder: Path, suffix: str, **tables: pd.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        if suffix == "csv":
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_parquet(folder / f"{name}.parquet")
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        infer(folder)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_types_signals_codes_and_attributes(tmp_path: Path, suffix: str) -> None:
    failures = pd.DataFrame({"asset_id": ["1"], "time": ["2024-01-03T00:00:00Z"], "failure_mode": ["comp1"]})
    found = infer(write(tmp_path, suffix, assets=ASSETS, telemetry=TELEMETRY, faults=FAULTS, failures=failures))
    types = found.register.asset_types
    signals = {name: [(s.name, s.unit, s.period) for s in kind.signals] for name, kind in types.items()}
    assert signals == {
        "model-a": [("oil_temp", "1", 86400.0), ("rpm", "1", 86400.0)],
        "model3": [("rpm", "1", 86400.0)],
    }
    assert types["model-a"].signal["oil_temp"].low == float("-inf")
    assert types["model-a"].title.en == "Model A"
    codes = {name: [(fault.code, fault.severity) for fault in kind.faults] for name, kind in types.items()}
    assert codes == {"model-a": [("E1", "major")], "model3": [("NA", "minor")]}
    assert all(kind.open_vocabulary and kind.reporting_hours == 24 for kind in types.values())
    assert found.register.sites["sao-paulo"].title == "São Paulo"
    assert found.register.sites["x"].time_zone == "UTC"
    assert found.register.assets["1"].attributes == {"age": "18"}
    assert found.register.assets["1"].commissioned == date(2020, 5, 1)
    assert found.register.assets["3"].attributes == {}
    assert set(found.knowledge.failure_modes) == {"ANOMALY", "comp1"}
    assert found.rule_files == ()


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    tables = {"assets": ASSETS, "telemetry": TELEMETRY, "faults": FAULTS}
    csv, parquet = infer(write(tmp_path / "c", "csv", **tables)), infer(write(tmp_path / "p", "parquet", **tables))
    assert csv.digest == parquet.digest
    more = pd.concat([FAULTS, FAULTS.assign(code="E77")])
    assert infer(write(tmp_path / "c", "csv", faults=more)).digest != csv.digest


def test_without_a_register_the_data_names_the_assets(tmp_path: Path) -> None:
    found = infer(write(tmp_path, "csv", telemetry=TELEMETRY, faults=FAULTS))
    assert sorted(found.register.assets) == ["1", "2", "3", "9"]
    assert list(found.register.asset_types) == ["asset"]
    assert list(found.register.sites) == ["site"]
    assert [signal.name for signal in found.register.asset_types["asset"].signals] == ["oil_temp", "rpm"]


def test_faults_alone_and_telemetry_alone(tmp_path: Path) -> None:
    faults = infer(write(tmp_path / "f", "csv", faults=FAULTS.drop(columns="severity"))).register.asset_types["asset"]
    assert faults.signals == ()
    assert [fault.code for fault in faults.faults] == ["E1", "E9", "NA"]
    telemetry = infer(write(tmp_path / "t", "csv", telemetry=TELEMETRY)).register.asset_types["asset"]
    assert telemetry.faults == ()


def test_the_period_is_the_median_spacing_of_each_type(tmp_path: Path) -> None:
    minutes = pd.date_range("2024-01-01", periods=500, freq="5min", tz="UTC").delete([7, 8, 9, 300])
    seconds = pd.date_range("2024-01-01", periods=500, freq="s", tz="UTC")
    slow = pd.DataFrame({"asset_id": "slow", "time": minutes, "x": 1.0})
    fast = pd.DataFrame({"asset_id": "fast", "time": seconds, "x": 1.0})
    assets = pd.DataFrame({"asset_id": ["slow", "fast", "silent"], "asset_type": ["s", "f", "n"]})
    both = pd.concat([slow, fast]).sample(frac=1, random_state=0)
    types = infer(write(tmp_path, "parquet", assets=assets, telemetry=both)).register.asset_types
    assert [types[name].signals[0].period for name in "sf"] == [300.0, 1.0]
    assert types["n"].signals == ()


def test_one_sample_has_no_period(tmp_path: Path) -> None:
    found = infer(write(tmp_path, "csv", telemetry=TELEMETRY.head(3)))
    assert found.register.asset_types["asset"].signals[0].period is None


def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        "csv",
        assets=pd.DataFrame({"asset_id": ["a", "a"], "site": ["1st", "1st"]}),
        telemetry=TELEMETRY.rename(columns={"rpm": "Oil temp"}),
        faults=FAULTS.drop(columns="code"),
        failures=pd.DataFrame({"asset_id": ["1"], "date": ["2024-01-01"], "failure_mode": ["x"]}),
    )
    assert problems(tmp_path) == [
        "assets.csv:3: asset 'a' is given twice",
        "failures.csv:1: missing column 'time'; rename 'date' to it",
        "faults.csv:1: missing column 'code' (columns: asset_id, time, severity)",
        "telemetry.csv:1: columns 'Oil Temp' and 'Oil temp' are both the signal 'oil_temp'",
    ]


def test_what_strangers_call_things_is_made_to_fit_and_still_shown(tmp_path: Path) -> None:
    times = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]
    write(
        tmp_path,
        "csv",
        assets=pd.DataFrame({"asset_id": ["Bus #1", "巴士2"], "asset_type": ["3", "3"], "site": ["12", "上海"]}),
        telemetry=pd.DataFrame({"asset_id": ["Bus #1 ", "巴士2"], "time": times, "油温": [1.0, 2.0], "time of day": 1}),
        faults=pd.DataFrame({"asset_id": ["Bus #1"] * 2, "time": times, "code": ["SPN 110 / FMI 0", "过热"]}),
        failures=pd.DataFrame({"asset_id": ["Bus #1"] * 2, "time": times, "failure_mode": ["Bearing (drive end)", ""]}),
    )
    found = infer(tmp_path)
    kind = found.register.asset_types["type-3"]
    assert sorted(found.register.assets) == ["2-753cdf", "Bus-1"]
    sites = {site.title: site.id for site in found.register.sites.values()}
    assert sites == {"12": "site-12", "上海": "site-4906a4"}
    signals = {signal.title.zh: signal.name for signal in kind.signals if signal.title}
    assert signals == {"油温": "s_611f70", "time of day": "time_of_day"}
    codes = {code.title.zh: code.code for code in kind.faults}
    assert codes == {"SPN 110 / FMI 0": "SPN-110-FMI-0", "过热": "code-fe1b45"}
    modes = found.knowledge.failure_modes
    assert {code: mode.title.en for code, mode in modes.items() if code != "ANOMALY"} == {
        "Bearing-drive-end": "Bearing (drive end)",
        "FAILURE": "Failure of no recorded kind",
    }


def test_failures_need_not_say_in_which_way(tmp_path: Path) -> None:
    failures = pd.DataFrame({"asset_id": ["1"], "time": ["2024-01-01"]})
    assert "FAILURE" in infer(write(tmp_path, "csv", telemetry=TELEMETRY, failures=failures)).knowledge.failure_modes


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_cells_that_hold_nothing_name_nothing(tmp_path: Path, suffix: str) -> None:
    failures = pd.DataFrame({"asset_id": ["1", "2"], "time": ["2024-01-02"] * 2, "failure_mode": ["Leak", None]})
    faults = FAULTS.assign(code=["E1", "E1", "E1", None, "E9"], severity=["Major ", "MAJOR", "major", None, None])
    found = infer(write(tmp_path, suffix, assets=ASSETS, telemetry=TELEMETRY, faults=faults, failures=failures))
    assert set(found.knowledge.failure_modes) == {"Leak", "FAILURE", "ANOMALY"}
    assert [(code.code, code.severity) for code in found.register.asset_types["model-a"].faults] == [("E1", "major")]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_codes_whose_names_become_one_are_told(tmp_path: Path, suffix: str) -> None:
    faults = FAULTS.assign(code=["P<", "P>", "E1", "E1", "E1"])
    folder = write(tmp_path / "f", suffix, assets=ASSETS, telemetry=TELEMETRY, faults=faults)
    assert problems(folder) == [f"faults.{suffix}: codes 'P<' and 'P>' are both 'P'; rename one"]
    failures = pd.DataFrame({"asset_id": ["1", "2"], "time": ["2024-01-02"] * 2, "failure_mode": ["Leak >", "Leak <"]})
    folder = write(tmp_path / "m", suffix, assets=ASSETS, telemetry=TELEMETRY, failures=failures)
    assert problems(folder) == [f"failures.{suffix}: codes 'Leak <' and 'Leak >' are both 'Leak'; rename one"]


def test_a_packed_register_may_have_blanks_about_its_cells(tmp_path: Path) -> None:
    assets = ASSETS.assign(asset_id=["1 ", " 2", "3"], age=["18 ", "7", None])
    found = infer(write(tmp_path, "parquet", assets=assets, telemetry=TELEMETRY))
    assert set(found.register.assets) == {"1", "2", "3"}
    assert found.register.assets["1"].attributes["age"] == "18"


def test_a_date_may_bring_its_midnight(tmp_path: Path) -> None:
    assets = pd.DataFrame({"asset_id": ["1"], "commissioned": ["2020-05-01 00:00:00"]})
    assert infer(write(tmp_path, "csv", assets=assets, telemetry=TELEMETRY)).register.assets["1"].commissioned == date(
        2020, 5, 1
    )


def test_a_number_is_the_same_asset_however_it_is_written(tmp_path: Path) -> None:
    assets = pd.DataFrame({"asset_id": ["1", "2", "0007"]})
    telemetry = TELEMETRY.assign(asset_id=["1.0", "2.0", "0007"] * 3)
    found = infer(write(tmp_path, "csv", assets=assets, telemetry=telemetry))
    assert sorted(found.register.assets) == ["0007", "1", "2"]
    assert len(found.register.asset_types["asset"].signals) == 2


def test_two_assets_whose_names_become_one_are_told(tmp_path: Path) -> None:
    write(tmp_path, "csv", telemetry=TELEMETRY.assign(asset_id=["Bus 1", "Bus-1", "x"] * 3))
    assert problems(tmp_path) == ["telemetry.csv: assets 'Bus 1' and 'Bus-1' are both 'Bus-1'; rename one"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "telemetry.csv: is empty; its first line names the columns"),
        ("asset_id;time;x\n", "telemetry.csv:1: columns are separated by ';'; separate them by ','"),
        ("asset_id\ttime\tx\n", "telemetry.csv:1: columns are separated by tabs; separate them by ','"),
        ("asset_id,x\n", "telemetry.csv:1: missing column 'time' (columns: asset_id, x)"),
        ("Asset ID,time,x\n", "telemetry.csv:1: missing column 'asset_id'; rename 'Asset ID' to it"),
        ("asset_id,timestamp,x\n", "telemetry.csv:1: missing column 'time'; rename 'timestamp' to it"),
        ("asset_id,time,x,x\n", "telemetry.csv:1: column 'x' is given twice"),
        ("asset_id,time,x,X\n", "telemetry.csv:1: columns 'x' and 'X' are both the signal 'x'"),
        (
            ",asset_id,time,n,state\n0,a,2024-01-01,1,2\n1,b,2024-01-01,1,odd\n",
            "telemetry.csv:3: column 'state': odd is no number; leave a cell empty where nothing was measured",
        ),
        (
            "asset_id,time,n,state\na,2024-01-01,1,2\nb,2024-01-01,1,odd\n",
            "telemetry.csv:3: column 'state': odd is no number; leave a cell empty where nothing was measured",
        ),
        ("asset_id,time,x\na,2024-01-01\n", "telemetry.csv:2: Expected 3 columns, got 2: a,2024-01-01"),
    ],
)
def test_broken_telemetry(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "telemetry.csv").write_text(text)
    assert problems(tmp_path) == [expected]


def test_times_that_are_none(tmp_path: Path) -> None:
    write(tmp_path, "csv", telemetry=TELEMETRY.assign(time="yesterday"))
    assert problems(tmp_path)[0].startswith("telemetry.csv: column 'time': 'yesterday' is no ISO 8601 time; write ")


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "telemetry.parquet").write_bytes(b"no parquet at all")
    assert problems(tmp_path)[0].startswith("telemetry.parquet: ")


def test_no_table_or_two_of_one(tmp_path: Path) -> None:
    empty = f"{tmp_path}: holds neither telemetry nor faults, as .csv, .csv.gz or .parquet"
    assert problems(tmp_path) == [empty]
    (tmp_path / "Telemetry.xlsx").touch()
    assert problems(tmp_path) == [f"{empty}; it holds Telemetry.xlsx"]
    assert problems(tmp_path / "no") == [f"{tmp_path / 'no'}: is not a folder"]
    write(tmp_path, "csv", telemetry=TELEMETRY)
    write(tmp_path, "parquet", telemetry=TELEMETRY)
    assert problems(tmp_path) == ["telemetry.csv: stands beside telemetry.parquet; keep one of the two"]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("oil_temp", "oil_temp"),
        ("Oil Temp", "oil_temp"),
        ("OilTemp", "oil_temp"),
        ("Öl-Temp. (°C)", "ol_temp_c"),
        ("T24", "t24"),
        ("RPM", "rpm"),
        ("a__b", "a__b"),
    ],
)
def test_signal_names(column: str, name: str) -> None:
    assert signal_name(column) == name
    assert Signal(name=name, unit="1").name == name


@pytest.mark.parametrize("column", ["2nd stage", "油温", "time", "code", "x" * 49, "x " * 5000, "___", "ÄÖ" * 60])
def test_any_column_makes_a_signal_name(column: str) -> None:
    name = signal_name(column)
    assert Signal(name=name, unit="1").name == name
    assert signal_name(name) == name


def test_names_in_scripts_without_latin_letters_stay_apart() -> None:
    assert len({signal_name(column) for column in ("温度1", "压力1", "温度2")}) == 3
    assert len({code_name(code) for code in ("过热", "过压", "过压 2")}) == 3
    assert code_name("Überhitzung") == "Uberhitzung"


@pytest.mark.parametrize("text", ["Bus #12", "a" * 65, "北京-7", "+/#", "-1", "a b/c", "12.0"])
def test_any_text_makes_an_asset_a_code_and_a_site(text: str) -> None:
    Asset(id=asset_name(text), asset_type=plain_name(text, "type"), site=plain_name(text, "site"))
    FaultCode(code=code_name(text), title=Text(en="x", zh="x"))


def test_plain_names() -> None:
    assert plain_name("São Paulo 2", "site") == "sao-paulo-2"
    assert plain_name("737-800", "type") == "type-737-800"
    assert asset_name("12.0") == "12"
    for named in (signal_name, asset_name, code_name):
        with pytest.raises(ValueError, match="empty"):
            named(" ")


@pytest.mark.slow
def test_a_fleet_of_many_rows_is_read_in_bounded_batches(tmp_path: Path) -> None:
    """Twenty thousand assets in a file of several blocks: the batches join up, the sample of times stays small."""
    rows = 20_000 * 8
    telemetry = pd.DataFrame(
        {
            "asset_id": np.char.add("A", np.tile(np.arange(20_000), 8).astype(str)),
            "time": np.repeat(pd.date_range("2024-01-01", periods=8, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ"), 20_000),
            "first": np.arange(rows, dtype=float),
            "last": np.where(np.arange(rows) == rows - 1, 1.0, np.nan),
        }
    )
    found = infer(write(tmp_path, "csv", telemetry=telemetry)).register
    assert (tmp_path / "telemetry.csv").stat().st_size > 4_000_000
    assert len(found.assets) == 20_000
    assert [(signal.name, signal.period) for signal in found.asset_types["asset"].signals] == [
        ("first", 3600.0),
        ("last", 3600.0),
    ]
