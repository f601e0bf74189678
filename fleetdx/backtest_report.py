"""A back-test's report: one HTML file that needs nothing beside it, no script and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from fleetdx import backtest_plots as plots
from fleetdx.backtest_figures import Findings
from models.reliability import Bin, Reliability

MOST_ROWS = 2000
"""Rows of a table that are written out; the JSON result has them all."""

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f2937; margin: 2rem auto; max-width: 64rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { max-width: 48rem; } .quiet { color: #6b7280; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid #e5e7eb; vertical-align: top; }
th { font-weight: 600; } td:first-child, th:first-child, td.text, th.text { text-align: left; }
.interval { color: #6b7280; font-size: .85em; white-space: nowrap; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { font-weight: 600; }
svg { max-width: 100%; height: auto; }
.true, .caught { color: #15803d; } .false, .missed { color: #b91c1c; } .early { color: #d9480f; }
.repeat, .late { color: #92740a; } .pending { color: #6b7280; }
.long { max-height: 28rem; overflow-y: auto; } .long thead th { position: sticky; top: 0; background: #fff; }
@media print { .long { max-height: none; } }
"""

_KINDS = (
    ("true", "the failure comes within the horizon"),
    ("repeat", "an earlier ticket speaks for that failure already"),
    ("early", "the failure comes, but not within the horizon: within two"),
    ("pending", "no failure came by the end of the records, and the horizon was not over: counts neither way"),
    ("false", "no failure comes within two horizons"),
)


def report_page(name: str, found: Findings) -> str:
    """Return the page; ``name`` is what the history is called."""
    figures = found.figures
    known = bool(figures["failures"])
    sections = [_head(name, figures), _summary(figures), _plots(found)]
    if known:
        sections += [_calibration(figures), _failures(figures)]
    sections.append(_tickets(figures))
    title = f"Back-test of {escape(name)}"
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _head(name: str, figures: Mapping[str, Any]) -> str:
    said = (
        f"{figures['assets']:,} assets and {figures['asset_days']:,} asset-days, from the day after "
        f"{figures['train_until']} to {figures['last_day']}, with {figures['failures']:,} failures. Each day was "
        "scored from what was known at its end. A ticket opens when its day is closed, and speaks for the next "
        f"failure of its asset; it is true if that comes within {figures['horizon_days']:g} days."
    )
    if not figures["failures"]:
        said += (
            " <strong>No failure is known in these days: this page says how many tickets there would have been, and "
            "nothing of what they were worth.</strong>"
        )
    left = figures["failures_of_unknown_assets"]
    unknown = f'<p class="quiet">{left:,} failures of assets that the register lacks are left out.</p>' if left else ""
    return f"<h1>Back-test of {escape(name)}</h1>\n<p>{said}</p>{unknown}"


def _summary(figures: Mapping[str, Any]) -> str:
    ways = {"fleetdx": figures} | figures["baselines"]
    lines: list[tuple[str, Sequence[str]]] = [("tickets", [f"{way['tickets']:,}" for way in ways.values()])]
    if figures["failures"]:
        lines += [
            ("failures caught", [f"{way['caught']:,} of {way['failures']:,}" for way in ways.values()]),
            ("recall", [_with_interval(way, "recall", _percent) for way in ways.values()]),
            ("precision", [_with_interval(way, "precision", _percent) for way in ways.values()]),
            ("median lead", [_with_interval(way, "median_lead_hours", _hours) for way in ways.values()]),
            ("lead of nine in ten", [_hours(way["p10_lead_hours"]) for way in ways.values()]),
        ]
        for kind, _ in _KINDS:
            lines.append((f"tickets: {kind}", [f"{_kind(way, kind):,}" for way in ways.values()]))
    rate = "false tickets per 100 asset-days" if figures["failures"] else "tickets per 100 asset-days"
    lines.append((rate, [_number(way["false_tickets_per_100_asset_days"], 2) for way in ways.values()]))
    if figures["failures"]:
        lines += [
            ("average precision", [_number(way["average_precision"], 3) for way in ways.values()]),
            ("of a score without skill", [_number(way["prevalence"], 3) for way in ways.values()]),
            ("Brier score", [_number((way["calibration"] or {}).get("brier"), 4) for way in ways.values()]),
            ("CARE", [_number(way["care"]["score"], 3) for way in ways.values()]),
        ]
        lines += [
            (f"CARE: {part}", [_number(way["care"][part], 3) for way in ways.values()])
            for part in ("coverage", "accuracy", "reliability", "earliness")
        ]
        expected = figures["expected_time"]
        if expected is not None:
            held = f"{_percent(expected['held'])} of {expected['tickets']:,}"
            days = f"{expected['days']:.1f} days"
            nothing = [""] * len(figures["baselines"])
            lines.append(("true tickets whose failure came when expected", [held, *nothing]))
            lines.append(("how long that time was, median", [days, *nothing]))
        lines.append(("cost", [_number(way["cost"], 0) for way in ways.values()]))
    costs = figures["costs"]
    note = (
        f"A missed failure costs {costs['missed_failure']:g}, a ticket for nothing {costs['false_ticket']:g}, one too "
        f"early {costs['early_replacement']:g}; with no ticket at all the failures would cost "
        f"{_number(figures['cost_without_tickets'], 0)}. In brackets: 95 % intervals, bootstrapped over assets."
    )
    head = "".join(f"<th>{escape(plots.named(way))}</th>" for way in ways)
    rows = "\n".join(
        f'<tr><td class="text">{escape(label)}</td>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for label, cells in lines
    )
    told = f'<p class="quiet">{note}</p>' if figures["failures"] else ""
    return f"<h2>Summary</h2>\n<table><thead><tr><th></th>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>{told}"


def _plots(found: Findings) -> str:
    figures, judgement = found.figures, found.judgement
    drawn: list[tuple[str, str]] = []
    tickets, failures = judgement.tickets, judgement.failures
    if len(tickets) or len(failures):
        drawn.append(
            (
                "Tickets and failures over time",
                plots.tickets_over_time(
                    tickets["opened"].to_numpy(dtype=np.int64),
                    tickets["kind"].tolist() if figures["failures"] else ["false"] * len(tickets),
                    failures["time"].to_numpy(dtype=np.int64),
                ),
            )
        )
    if figures["failures"]:
        leads = failures.loc[failures["caught"], "lead"].to_numpy(dtype=np.float64)
        if len(leads):
            drawn.append(("Lead time", plots.lead_times(leads, figures["horizon_days"])))
        if found.truth.any():
            drawn.append(("Precision and recall of asset-days", plots.precision_recall(found.scores, found.truth)))
        calibrated = _calibrated(figures)
        if calibrated:
            drawn.append(("Reliability of the probability", plots.reliability_diagram(calibrated)))
        ways = {"fleetdx": figures} | figures["baselines"]
        costs = {way: float(row["cost"]) for way, row in ways.items()}
        costs["no_ticket_at_all"] = float(figures["cost_without_tickets"])
        drawn.append(("Cost", plots.costs(costs)))
    pictures = "\n".join(f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in drawn)
    return f'<h2>Pictures</h2>\n<div class="plots">\n{pictures}\n</div>' if drawn else ""


def _calibrated(figures: Mapping[str, Any]) -> dict[str, Reliability]:
    ways = {"fleetdx": figures} | figures["baselines"]
    return {
        way: Reliability(
            row["calibration"]["brier"],
            row["calibration"]["brier_of_base_rate"],
            tuple(Bin(**one) for one in row["calibration"]["bins"]),
        )
        for way, row in ways.items()
        if row["calibration"]
    }


def _calibration(figures: Mapping[str, Any]) -> str:
    found = figures["calibration"]
    if not found:
        return (
            '<h2>Calibration</h2><p class="quiet">Too few failures were known to learn a probability from: the score '
            "of a day says how unlike its past it is, not how likely a failure.</p>"
        )
    rows = [
        [
            f"{one['low']:.0%} to {one['high']:.0%}",
            f"{one['asset_days']:,}",
            _percent(one["predicted"]),
            _percent(one["observed"]),
        ]
        for one in found["bins"]
    ]
    return "<h2>Calibration</h2>\n" + _table(["probability that was said", "asset-days", "on average", "failed"], rows)


def _failures(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(row["asset_id"]),
            escape(row["failure_mode"]),
            _time(row["time"]),
            '<span class="caught">caught</span>' if row["caught"] else '<span class="missed">missed</span>',
            _hours(row["lead_hours"]),
        ]
        for row in figures["per_failure"][:MOST_ROWS]
    ]
    head = f"<h2>Failures</h2>\n{_more(figures['per_failure'])}"
    return head + _table(["asset", "failure mode", "when (UTC)", "", "lead"], rows, long=True)


def _tickets(figures: Mapping[str, Any]) -> str:
    judged = bool(figures["failures"])
    rows = [
        [
            escape(row["asset_id"]),
            escape(row["failure_mode"]),
            _time(row["opened"]),
            *(
                [
                    f'<span class="{row["kind"]}">{row["kind"]}</span>',
                    _time(row["failure"]) if row["failure"] else "–",
                    _hours(row["lead_hours"]),
                ]
                if judged
                else []
            ),
        ]
        for row in figures["per_ticket"][:MOST_ROWS]
    ]
    meaning = "; ".join(f'<span class="{kind}">{kind}</span>: {what}' for kind, what in _KINDS)
    note = f'<p class="quiet">{meaning}.</p>' if judged else ""
    head = ["asset", "failure mode", "opened (UTC)", *(["", "next failure", "lead"] if judged else [])]
    return f"<h2>Tickets</h2>\n{note}{_more(figures['per_ticket'])}" + _table(head, rows, long=True)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, long: bool = False) -> str:
    if not rows:
        return '<p class="quiet">None.</p>'
    columns = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="long">{table}</div>' if long else table


def _more(rows: Sequence[object]) -> str:
    if len(rows) <= MOST_ROWS:
        return ""
    return f'<p class="quiet">The first {MOST_ROWS:,} of {len(rows):,}; the JSON result has them all.</p>'


def _kind(way: Mapping[str, Any], kind: str) -> int:
    number: int = way[f"{kind}_tickets"]
    return number - way["early_tickets"] if kind == "false" else number


def _with_interval(way: Mapping[str, Any], name: str, written: Any) -> str:
    interval = way[f"{name}_interval"]
    if way[name] is None or interval["low"] is None:
        return str(written(way[name]))
    between = f"{written(interval['low'])} to {written(interval['high'])}"
    return f'{written(way[name])} <span class="interval">({between})</span>'


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _hours(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} h" if value < 48 else f"{value / 24:.1f} days"


def _time(text: str) -> str:
    return escape(text[:16].replace("T", " "))
