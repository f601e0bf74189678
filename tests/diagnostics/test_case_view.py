"""The case base diagnoses the modes that only it knows, with the numbers that show it."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from config.knowledge import FailureMode, Knowledge, Symptom
from config.register import Text
from config.settings import Models
from diagnostics.case_view import CaseView, case_views, priors
from models.casebase import CaseBase
from models.panel import panel_index

DAY = 86_400 * 10**9
ASSETS, DAYS = [f"A{n:02}" for n in range(30)], 60
FIRST = np.datetime64("2026-01-01", "D")
COLUMNS = ["asset_id", "time", "what"]
UTC = ZoneInfo("UTC")


def at(day: int) -> int:
    return int((FIRST + day).astype("datetime64[ns]").astype(np.int64)) + DAY // 4


@pytest.fixture(scope="module")
def learned() -> tuple[CaseBase, pd.DataFrame, pd.DataFrame]:
    """The code F1 comes the day before a LEAK, and hardly ever else; pressure falls with it."""
    rng = np.random.default_rng(0)
    code, low = rng.random((30, DAYS)) < 0.005, rng.random((30, DAYS)) < 0.01
    failures = [(asset, at(int(rng.integers(20, 45))), "LEAK") for asset in ASSETS]
    for number, (_, when, _) in enumerate(failures):
        code[number, (when - at(0)) // DAY - 1] = low[number, (when - at(0)) // DAY - 1] = True
    code[0, 50] = low[0, 50] = True  # and again on the day that is judged
    index = panel_index([a for a in ASSETS for _ in range(DAYS)], list(np.tile(FIRST + np.arange(DAYS), 30)))
    derived = pd.DataFrame(
        {
            "faults.F1.count": 2.0 * code.ravel(),
            "pressure.mean.own": np.where(low.ravel(), -4.5, 0.1),
            "completeness": 1.0,
        },
        index=index,
    )
    records = pd.DataFrame(failures, columns=COLUMNS)
    until = derived[derived.index.get_level_values(1) <= np.datetime64("2026-02-19")]
    base = CaseBase.fit(
        until, records.iloc[:0], records, horizon_days=3, false_tickets_per_100_asset_days=0.5,
        min_probability=0.4, min_completeness=0.5,
    )  # fmt: skip
    return base, derived, records


def views(
    learned: tuple[CaseBase, pd.DataFrame, pd.DataFrame], knowledge: Knowledge | None = None, **given: Any
) -> dict[str, CaseView]:
    base, derived, records = learned
    window = derived[derived.index.get_level_values(1).isin(pd.date_range("2026-02-18", "2026-02-20"))]
    values = {"settling": {}, "decided": ()} | given
    known = knowledge or Knowledge()
    cases = base.inputs(window, records, priors(known, list(window.columns)), dict.fromkeys(ASSETS, UTC))
    return case_views(
        base, "v1", cases, window, ASSETS, date(2026, 2, 20), at(51), values["settling"], values["decided"],
        Models(), known,
    )  # fmt: skip


def test_it_diagnoses_with_the_numbers_that_show_it(learned: tuple[CaseBase, pd.DataFrame, pd.DataFrame]) -> None:
    found = views(learned)
    [diagnosis] = found["A00"].diagnoses
    assert (diagnosis.failure_mode, diagnosis.source, diagnosis.condition) == ("LEAK", "model:casebase@v1", True)
    assert diagnosis.probability is not None
    assert diagnosis.probability > 0.4
    assert {(e.feature, e.value) for e in diagnosis.evidence} == {("faults.F1.count", 2.0), ("pressure.mean.own", -4.5)}
    assert "30 earlier cases began like this" in diagnosis.text.en
    assert "30 个以往案例" in diagnosis.text.zh
    assert sum(1 for view in found.values() if view.diagnoses[0].condition) <= 3
    assert found["A00"].shown == ("faults.F1", "pressure.low")
    assert len(found["A00"].records["LEAK"]) == 30


def test_a_mode_that_the_failure_model_decides_is_only_ranked(
    learned: tuple[CaseBase, pd.DataFrame, pd.DataFrame],
) -> None:
    found = views(learned, decided=("LEAK",))["A00"]
    assert found.diagnoses == ()
    assert found.probabilities["LEAK"] > 0.4


def test_on_the_day_of_a_repair_nothing_is_known(learned: tuple[CaseBase, pd.DataFrame, pd.DataFrame]) -> None:
    found = views(learned, settling={"A00": 0, "A01": 1})
    assert found["A00"].probabilities == {}
    assert found["A00"].diagnoses[0].condition is None
    assert found["A01"].diagnoses[0].condition is not None


def test_expectations_are_those_that_the_type_can_show() -> None:
    def mode(code: str, mtbf: float | None, *seen: str) -> FailureMode:
        shows = tuple(Symptom(seen=name, before=0.5, otherwise=0.1) for name in seen)
        return FailureMode(code=code, title=Text(en="x", zh="x"), mtbf_days=mtbf, symptoms=shows)

    modes = (mode("A", 100, "faults.F1", "faults.F9"), mode("B", 100, "speed.high"), mode("C", None, "faults.F1"))
    known = Knowledge(failure_modes={one.code: one for one in modes})
    found = priors(known, ["faults.F1.count", "pressure.mean.own", "completeness"])
    assert list(found) == ["A"]
    assert found["A"].symptoms == {"faults.F1": (0.5, 0.1)}
