"""The protocol of SKAB, on the real rig's data, and what may be read while the setting is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from servers import dataset

from benchmarks import skab
from models.detectors.windowed import Windowed


def test_rates_are_shares_of_sound_and_of_faulty_rows() -> None:
    alarm = np.array([True, True, False, False, True])
    fault = np.array([True, False, True, False, True])
    found = skab.rates(alarm, fault)
    assert (found["far"], found["mar"]) == (0.5, 1 - 2 / 3)
    assert found["f1"] == 2 * 2 / (3 + 3)


def test_both_layouts_give_the_same_experiments(tmp_path: Path) -> None:
    experiments = skab.read_file(dataset("skab") / "skab.csv.gz")
    few = {name: experiments[name] for name in ("anomaly-free/anomaly-free", "valve1/0", "other/9")}
    for name, rows in few.items():
        path = tmp_path / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        rows.drop(columns="experiment").to_csv(path, sep=";", index=False)
    read = skab.read_folder(tmp_path)
    assert set(read) == set(few)
    for name, rows in few.items():
        pd.testing.assert_frame_equal(skab.signals_of(read[name]), skab.signals_of(rows))
    assert skab.measured(read) == skab.measured(few)


def test_the_published_protocol_gives_what_the_documents_say() -> None:
    found = skab.measured(skab.read_file(dataset("skab") / "skab.csv.gz"))
    assert (found["experiments"], found["rows"]) == (34, 23_801)
    assert found["f1"] > 0.71 > found["f1_always_alarm"]
    assert found["far"] < 0.15
    assert found["mar"] < 0.38


def test_a_score_is_read_of_rows_up_to_the_delay_and_no_later() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(600, 3)), columns=["a", "b", "c"])
    changed = rows.copy()
    changed.iloc[500:] += 5.0
    before, after = (skab.scored(Windowed, frame, delay=10) for frame in (rows, changed))
    np.testing.assert_array_equal(before[:90], after[:90])
    assert (after[91:] > before[91:]).mean() > 0.9
