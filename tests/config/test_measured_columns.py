"""Which columns of a stranger's telemetry measure something."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from config.batches import batches
from config.infer import infer
from config.measured import measured
from config.source import ConfigError

ROWS = 6
KEYS = {"asset_id": ["a"] * ROWS, "time": [f"2026-01-0{n + 1}" for n in range(ROWS)]}
COLUMNS = {
    "rpm": ["1", "2.5", "-3e2", " 4", "", "NaN"],
    "gaps": ["NA", "null", "None", "-", "n/a", "7"],
    "running": ["true", "false", "True", "FALSE", "", "null"],
    "door": ["on", "Off", "ON", "off", "on", "NA"],
    "flag": ["0", "1", "1", "0", "1", "0"],
    "mode": ["auto", "auto", "manual", "1", "", "auto"],
    "seen at": ["2026-01-01"] * ROWS,
    "empty": [""] * ROWS,
    "Unnamed: 0": [str(n) for n in range(ROWS)],
}


def table(folder: Path, columns: dict[str, list[str]] = COLUMNS, suffix: str = "csv") -> Path:
    frame, path = pd.DataFrame(KEYS | columns), folder / f"telemetry.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_numbers_truths_and_what_is_neither(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path, suffix=suffix)
    found = measured(path)
    assert found.numbers == ("rpm", "gaps", "flag", "empty")
    assert found.truths == ("running", "door")
    assert found.left_out == {
        "mode": "text such as 'auto'",
        "seen at": "text such as '2026-01-01'",
        "Unnamed: 0": "row numbers",
    }
    names = [signal.name for signal in infer(tmp_path).register.asset_types["asset"].signals]
    assert names == ["rpm", "gaps", "flag", "running", "door"]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_what_is_read_of_them(tmp_path: Path, suffix: str) -> None:
    columns = {name: COLUMNS[name] for name in ("rpm", "gaps", "running", "door")}
    path = table(tmp_path, columns, suffix)
    (batch,) = batches(path, ("asset_id",), ("rpm", "gaps"), ("running", "door"))
    read = {name: batch.column(name).to_pylist() for name in columns}
    assert read["rpm"][:4] == [1.0, 2.5, -300.0, 4.0]
    assert read["gaps"] == [None] * 5 + [7.0]
    assert read["running"] == [1.0, 0.0, 1.0, 0.0, None, None]
    assert read["door"] == [1.0, 0.0, 1.0, 0.0, 1.0, None]


def test_a_word_among_yes_and_no_is_told_with_its_row(tmp_path: Path) -> None:
    path = table(tmp_path, {"running": ["true", "false", "true", "maybe", "", "null"]})
    with pytest.raises(ConfigError, match=r"telemetry.csv:5: column 'running': 'maybe' is neither yes nor no"):
        list(batches(path, ("asset_id",), (), ("running",)))


def test_parquet_of_its_own_types(tmp_path: Path) -> None:
    columns = {
        "flag": pa.array([True, None, False, True, True, True]),
        "whole": pa.array(range(ROWS), pa.int16()),
        "dear": pa.array([Decimal(n) for n in range(ROWS)], pa.decimal128(12, 2)),
        "at": pa.array(range(ROWS), pa.timestamp("ns", "UTC")),
        "list": pa.array([[1]] * ROWS),
        "word": pa.array(["a"] * ROWS).dictionary_encode(),
        "digits": pa.array(["1.5"] * ROWS).dictionary_encode(),
        "__index_level_0__": pa.array(range(ROWS)),
    }
    pa_parquet.write_table(pa.table(KEYS | columns), tmp_path / "telemetry.parquet")
    found = measured(tmp_path / "telemetry.parquet")
    assert (found.numbers, found.truths) == (("flag", "whole", "dear", "digits"), ())
    assert sorted(found.left_out) == ["__index_level_0__", "at", "list", "word"]
    (batch,) = batches(tmp_path / "telemetry.parquet", (), found.numbers)
    rows = batch.to_pydict()
    assert rows["flag"][:3] == [1.0, None, 0.0]
    assert (rows["whole"][3], rows["dear"][3], rows["digits"][3]) == (3.0, 3.0, 1.5)


def test_row_numbers_without_a_name_are_no_column(tmp_path: Path) -> None:
    pd.DataFrame(KEYS | {"rpm": range(ROWS)}).to_csv(tmp_path / "telemetry.csv")
    pd.DataFrame({"asset_id": ["a"], "maker": ["x"]}).to_csv(tmp_path / "assets.csv")
    found = infer(tmp_path).register
    assert [signal.name for signal in found.asset_types["asset"].signals] == ["rpm"]
    assert found.assets["a"].attributes == {"maker": "x"}


def test_a_register_may_be_packed(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "assets.csv.gz").write_bytes(gzip.compress(b"asset_id,site,maker\na,Lisboa,\nb,,x\n"))
    found = infer(tmp_path).register
    assert {asset.id: (asset.site, dict(asset.attributes)) for asset in found.assets.values()} == {
        "a": ("lisboa", {}),
        "b": ("site", {"maker": "x"}),
    }
