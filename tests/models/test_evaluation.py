"""Evaluation by event on cases that can be counted by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from models.evaluation import NS_PER_HOUR, Costs, EventReport, average_precision, evaluate, judge
from models.panel import panel_index

DAY = 24


def tickets(*rows: tuple[str, float] | tuple[str, float, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "asset_id": pd.Series([r[0] for r in rows], dtype="str"),
            "opened": np.array([r[1] * NS_PER_HOUR for r in rows], dtype=np.int64),
            "failure_mode": pd.Series([r[2] if len(r) > 2 else "M" for r in rows], dtype="str"),
        }
    )


def failures(*rows: tuple[str, float] | tuple[str, float, str]) -> pd.DataFrame:
    return tickets(*rows).rename(columns={"opened": "time"})


def counts(report: EventReport) -> dict[str, int]:
    kinds = ("true", "false", "late", "early", "repeat")
    return {kind: getattr(report, f"{kind}_tickets") for kind in kinds} | {"caught": report.caught}


def test_each_kind_of_ticket() -> None:
    report = evaluate(
        tickets(
            ("A", 0), ("A", 24), ("A", 100),  # true, repeat, and after the failure: false
            ("B", 0), ("B", 95),              # early (5 days before, horizon 4 days), and late (1 h before)
            ("C", 10),                        # never failed: false
        ),
        failures(("A", 72), ("B", 96), ("B", 4000), ("D", 50)),
        asset_days=200, horizon_days=3.5, min_lead_hours=2,
    )  # fmt: skip
    assert counts(report) == {"true": 1, "false": 3, "late": 1, "early": 1, "repeat": 1, "caught": 1}
    assert (report.tickets, report.failures) == (6, 4)
    assert report.recall == 1 / 4
    assert report.precision == 1 / 5
    assert report.false_tickets_per_100_asset_days == 1.5
    assert report.median_lead_hours == report.p10_lead_hours == 72


def test_bounds_of_lead_and_horizon_are_inclusive_and_the_failures_own_instant_is_not() -> None:
    horizon = evaluate(tickets(("A", 0)), failures(("A", 2 * DAY)), 10, 2)
    lead = evaluate(tickets(("A", 0)), failures(("A", 5)), 10, 2, min_lead_hours=5)
    same = evaluate(tickets(("A", 5)), failures(("A", 5)), 10, 2)
    assert (horizon.true_tickets, lead.true_tickets, same.true_tickets) == (1, 1, 0)


def test_failures_at_one_instant_are_caught_together_and_later_ones_need_their_own_ticket() -> None:
    report = evaluate(tickets(("A", 0)), failures(("A", 10), ("A", 10), ("A", 20)), 10, 7)
    assert (report.true_tickets, report.caught, report.failures) == (1, 2, 3)


def test_failure_modes_are_matched_where_wanted() -> None:
    opened, failed = tickets(("A", 0, "DOOR"), ("A", 1, "AIR")), failures(("A", 10, "AIR"))
    assert counts(evaluate(opened, failed, 10, 7))["true"] == 1
    matched = evaluate(opened, failed, 10, 7, match_failure_mode=True)
    assert (matched.true_tickets, matched.false_tickets, matched.repeat_tickets) == (1, 1, 0)


def test_nothing_at_all() -> None:
    report = evaluate(tickets(), failures(), 0, 7)
    assert math.isnan(report.recall)
    assert math.isnan(report.precision)
    assert math.isnan(report.recall_interval.low)
    report = evaluate(tickets(), failures(("A", 3)), 100, 7)
    assert (report.recall, report.false_tickets_per_100_asset_days) == (0, 0)
    report = evaluate(tickets(("A", 3)), failures(), 100, 7)
    assert (report.precision, report.false_tickets) == (0, 1)


def test_intervals_hold_the_figure_narrow_with_more_assets_and_repeat_with_the_seed() -> None:
    def report(assets: int) -> EventReport:
        return evaluate(
            tickets(*((f"A{a}", 0) for a in range(0, assets, 2))),
            failures(*((f"A{a}", 10) for a in range(assets))),
            1,
            7,
        )

    few, many = report(10), report(400)
    for found in (few, many):
        assert found.recall_interval.low <= found.recall == 0.5 <= found.recall_interval.high
    assert many.recall_interval.high - many.recall_interval.low < few.recall_interval.high - few.recall_interval.low
    assert report(10) == few


def test_the_order_of_rows_does_not_matter_and_the_report_is_json() -> None:
    opened = tickets(("A", 24), ("A", 0), ("B", 3))
    failed = failures(("B", 30), ("A", 72))
    report = evaluate(opened, failed, 100, 7)
    assert evaluate(opened[::-1], failed[::-1], 100, 7) == report
    assert json.loads(json.dumps(report.as_dict()))["recall_interval"] == {"low": 1.0, "high": 1.0}


def test_average_precision_counts_the_days_before_a_failure() -> None:
    days = [np.datetime64("2026-01-01") + d for d in range(10)]
    index = panel_index(["A"] * 10, days)
    failed = pd.DataFrame({"asset_id": ["A"], "time": [pd.Timestamp("2026-01-06T12:00Z").value]})
    perfect = pd.Series([0, 0, 0, 1, 1, 0, 0, 0, 0, np.nan], index=index, dtype=float)  # 4 and 5 January
    assert average_precision(perfect, failed, 2) == 1.0
    assert average_precision(1 - perfect, failed, 2) == pytest.approx(2 / 9)
    assert math.isnan(average_precision(perfect, failed.head(0), 2))


def test_each_ticket_and_each_failure_is_told_with_its_lead() -> None:
    found = judge(
        tickets(("A", 0), ("A", 24), ("B", 0), ("C", 10)), failures(("A", 72), ("B", 96), ("A", 900)), horizon_days=3.5
    )
    assert found.tickets[["asset_id", "kind", "lead"]].values.tolist() == [
        ["A", "true", 72.0], ["B", "early", 96.0], ["C", "false", math.inf], ["A", "repeat", 48.0],
    ]  # fmt: skip
    assert found.failures["caught"].tolist() == [True, False, False]
    assert found.failures["lead"].tolist()[0] == 72.0


def test_a_ticket_whose_horizon_was_not_over_when_the_records_ended_counts_neither_way() -> None:
    opened = tickets(("A", 0), ("B", 100), ("C", 40), ("D", 100))
    found = judge(opened, failures(("A", 24), ("D", 110)), 3.5, known_until=120 * NS_PER_HOUR)
    assert dict(zip(found.tickets["asset_id"], found.tickets["kind"], strict=True)) == {
        "A": "true", "B": "pending", "C": "pending", "D": "true",
    }  # fmt: skip
    later = judge(opened, failures(("A", 24), ("D", 110)), 3.5, known_until=(40 + 84) * NS_PER_HOUR)
    assert later.tickets["kind"].tolist() == ["true", "false", "pending", "true"]
    report = later.report(10)
    assert (report.tickets, report.false_tickets, report.pending_tickets) == (4, 1, 1)
    assert report.precision == pytest.approx(2 / 3)
    assert report.precision_interval.high == 1.0
    assert report.cost == 1.0
    assert "pending" not in set(judge(opened, failures(), 3.5).tickets["kind"])


def test_costs_are_of_what_went_wrong() -> None:
    # One failure of two is missed; one ticket is early, one false, one a repeat.
    report = evaluate(
        tickets(("A", 0), ("A", 24), ("B", 0), ("C", 10)), failures(("A", 72), ("B", 96)), 100, 3.5,
        costs=Costs(missed_failure=100, false_ticket=7, early_replacement=20),
    )  # fmt: skip
    assert (report.cost, report.cost_without_tickets) == (100 + 2 * 7 + 20, 200)


def test_the_median_leads_interval_holds_it() -> None:
    opened = tickets(*((f"A{n}", 0) for n in range(50)))
    report = evaluate(opened, failures(*((f"A{n}", 1 + n) for n in range(50))), 100, 7)
    interval = report.median_lead_hours_interval
    assert 10 < interval.low < report.median_lead_hours == 25.5 < interval.high < 41
