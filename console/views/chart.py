"""The evidence chart of an alert, drawn from the store when it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from alerts.models import Alert, AssetDayRun, FieldRecord, Score
from config.operating_day import NS, day_bounds
from config.register import AssetType, Severity
from console.charts import DayScore, FaultMark, Moment, SignalTrace, evidence_chart
from console.context import provided
from console.span import chosen_days, span
from console.wording import reader_language, signal_title
from models.ensemble import ENSEMBLE
from telemetry.store import TelemetryStore

_MOST_SIGNALS = 3
_MOST_CODES = 8
_NORMAL_DAYS = 60


@require_GET
@cache_control(private=True, max_age=60)
def image(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Return the chart as SVG."""
    alert = get_object_or_404(Alert, pk=alert_id)
    register = provided().installation.register
    if alert.asset_id not in register.assets:
        return HttpResponse(status=404)
    asset_type, site = register.type_of(alert.asset_id), register.site_of(alert.asset_id)
    first, last = span(alert, chosen_days(request))
    svg = evidence_chart(
        first=first,
        last=last,
        zone=site.zone,
        signals=_traces(alert, asset_type, provided().store, site.zone, first, last),
        scores=_scores(alert.asset_id, first, last),
        score_title=gettext("Anomaly score (share of sound days below it)"),
        faults=_faults(alert.asset_id, asset_type, provided().store, site.zone, first, last),
        faults_title=gettext("Faults set"),
        moments=_moments(alert, site.zone, first, last),
        no_data=gettext("no data"),
    )
    return HttpResponse(svg, content_type="image/svg+xml; charset=utf-8")


def signals_of(alert: Alert, asset_type: AssetType) -> list[str]:
    """Return the signals that speak for the alert: those of its evidence, then those that made up its score."""
    named: dict[str, None] = {}
    latest = alert.days.filter(condition=True).order_by("-day").first()
    if latest is not None:
        named |= {item["feature"].partition(".")[0]: None for item in latest.diagnosis["evidence"]}
    score = Score.objects.filter(asset_id=alert.asset_id, detector=ENSEMBLE, day=alert.last_true_day).first()
    if score is not None:
        named |= {item["feature"].partition(".")[0]: None for item in score.contributions}
    return [name for name in named if name in asset_type.signal][:_MOST_SIGNALS]


def _traces(
    alert: Alert, asset_type: AssetType, store: TelemetryStore, zone: ZoneInfo, first: date, last: date
) -> list[SignalTrace]:
    names = signals_of(alert, asset_type)
    if not names:
        return []
    start, end = day_bounds(zone, first)[0], day_bounds(zone, last)[1]
    frames = list(store.read_measurements([alert.asset_id], names, start, end))
    measured = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"time": [], **{n: [] for n in names}})
    time = measured["time"].to_numpy(dtype=np.int64)
    normal = _normal(alert, names)
    traces = []
    for name in names:
        value = measured[name].to_numpy(dtype=np.float64)
        known = np.isfinite(value)
        traces.append(
            SignalTrace(
                signal_title(name, asset_type),
                asset_type.signal[name].unit,
                time[known],
                value[known],
                normal.get(name),
            )
        )
    return traces


def _normal(alert: Alert, names: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    """Return for each signal the band of the asset's days before the alert: medians of their low and high ends."""
    before = (alert.first_day - timedelta(days=_NORMAL_DAYS), alert.first_day - timedelta(days=4))
    past = [
        run.features for run in AssetDayRun.objects.filter(asset_id=alert.asset_id, day__range=before).only("features")
    ]
    bands = {}
    for name in names:
        ends = [
            np.array([value for row in past if (value := row.get(f"{name}.{statistic}")) is not None])
            for statistic in ("p05", "p95")
        ]
        if all(len(values) >= 5 for values in ends):
            low, high = (float(np.median(values)) for values in ends)
            bands[name] = (low, high)
    return bands


def _scores(asset_id: str, first: date, last: date) -> list[DayScore]:
    known = {
        score.day: score
        for score in Score.objects.filter(asset_id=asset_id, detector=ENSEMBLE, day__range=(first, last))
    }
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [
        DayScore(day, known[day].level, known[day].score > known[day].threshold)
        if day in known
        else DayScore(day, None, False)
        for day in days
    ]


def _faults(
    asset_id: str, asset_type: AssetType, store: TelemetryStore, zone: ZoneInfo, first: date, last: date
) -> list[FaultMark]:
    """Return the codes that were set most often, each with its instants."""
    events = store.read_faults([asset_id], day_bounds(zone, first)[0], day_bounds(zone, last)[1])
    times: defaultdict[str, list[int]] = defaultdict(list)
    for code, time, state in zip(events["code"], events["time"], events["state"], strict=True):
        if state == "set":
            times[code].append(int(time))
    most = sorted(times, key=lambda code: (-len(times[code]), code))[:_MOST_CODES]
    return [_mark(code, asset_type, times[code]) for code in sorted(most)]


def _mark(code: str, asset_type: AssetType, times: Sequence[int]) -> FaultMark:
    known = asset_type.fault.get(code)
    severity: Severity = known.severity if known is not None else "minor"
    title = known.title.in_language(reader_language()) if known is not None else ""
    return FaultMark(f"{title} {code}".strip(), severity, tuple(times))


def _moments(alert: Alert, zone: ZoneInfo, first: date, last: date) -> list[Moment]:
    start, end = day_bounds(zone, first)[0], day_bounds(zone, last)[1]

    def shown(at: datetime) -> bool:
        return start <= int(at.timestamp()) * NS <= end  # an alert is known at the very end of its first day

    moments = [Moment(gettext("alert"), alert.known_at)] if shown(alert.known_at) else []
    records = FieldRecord.objects.filter(asset_id=alert.asset_id, at__date__range=(first, last + timedelta(days=1)))
    for record in records.order_by("at")[:10]:
        if shown(record.at):
            failed = record.kind == FieldRecord.Kind.FAILURE
            moments.append(Moment(gettext("failure") if failed else gettext("repair"), record.at))
    return moments
