"""The control's log as a history folder: what is no car is left out, and a failure is one of its own equipment."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from servers import dataset

from benchmarks.toronto import write_history
from ingest.history import History


def test_the_log_becomes_a_history_of_cars(tmp_path: Path) -> None:
    log = next(dataset("ttc_subway").glob("delays*"))
    write_history(log, tmp_path, first=date(2018, 7, 1), last=date(2018, 9, 30), cars=30)
    history = History.open(tmp_path)
    failures = history.failures()
    assert len((tmp_path / "assets.csv").read_text().splitlines()) == 1 + 30
    assert "C0" not in (tmp_path / "assets.csv").read_text().splitlines()
    assert 0 < len(failures) < len((tmp_path / "faults.csv").read_text().splitlines()) / 2
    assert failures["failure_mode"].str.startswith("EU").all()
