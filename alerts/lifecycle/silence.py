"""Alerts about data that does not come: of one asset, or of all, because it is we who do not hear.

They open and close by what ``ingest.silence`` says, at once and not with a day's sweep. Doing it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Max, QuerySet

from alerts.lifecycle import states
from alerts.lifecycle.plain import plain_diagnosis
from alerts.lifecycle.rows import life_of, put
from alerts.models import Alert, AlertDay
from config.knowledge import NO_DATA, NO_INTAKE, FailureMode
from config.operating_day import NS
from config.register import Register, Severity, Text
from diagnostics.records import Diagnosis
from ingest.silence import Verdict

OURSELVES = "fleetdx"
"""Stands where an alert names its asset, for the program itself; no gateway may be called so."""
_HOURS: Mapping[str, tuple[Severity, float]] = {NO_DATA.code: ("minor", 24.0), NO_INTAKE.code: ("critical", 1.0)}
_DETAIL = 200
_UTC = ZoneInfo("UTC")


def known_silent() -> set[str]:
    """Return the assets of which an alert says that they are silent."""
    return set(_open(NO_DATA).values_list("asset_id", flat=True))


@transaction.atomic
def tell(verdict: Verdict, register: Register, now: datetime) -> None:
    """Bring the alerts about silence up to date at ``now`` (aware)."""
    known = {alert.asset_id: alert for alert in _open(NO_DATA).select_for_update()}
    for asset_id, silent in known.items():
        if asset_id not in register.assets:
            _close(silent, now, "no longer in the register")
        elif asset_id in verdict.heard:
            _close(silent, now, "data came again")
    for silence in verdict.silent:
        zone, alert = register.site_of(silence.asset_id).zone, known.get(silence.asset_id)
        if alert is not None or not verdict.together:
            since, minutes = _local(silence.since, zone), round(silence.allowed / NS / 60)
            text = Text(
                en=f"No data since {since}, local time; {minutes} minutes without are taken as usual.",
                zh=f"自当地时间 {since} 起无数据；正常间隔不超过 {minutes} 分钟。",
            )
            _hold(NO_DATA, silence.asset_id, now.astimezone(zone).date(), now, text, alert)
    own = _open(NO_INTAKE).select_for_update().first()
    if verdict.problem or verdict.together:
        since = _local(verdict.since, _UTC)
        if verdict.problem:
            why = verdict.problem[:_DETAIL]
            text = Text(
                en=f"Nothing is taken in since {since} UTC: {why}. Assets are not reported as silent until it is.",
                zh=f"自 {since} UTC 起未接收任何数据：{why}。恢复之前不报告设备无数据。",
            )
        else:
            n = len(verdict.silent)
            text = Text(
                en=f"{n} of {verdict.expected} assets fell silent together, the first after {since} UTC: look at the "
                "broker and the network before the assets.",
                zh=f"{verdict.expected} 台设备中有 {n} 台同时无数据，最早自 {since} UTC 起："
                "请先检查消息代理和网络，再检查设备。",
            )
        _hold(NO_INTAKE, OURSELVES, now.astimezone(UTC).date(), now, text, own)
    elif own is not None and verdict.hearing:
        _close(own, now, "data came again")


@transaction.atomic
def tell_absence(since: datetime, until: datetime) -> None:
    """Note that the program did not run for a while (aware), where nothing else is said of it."""
    if _open(NO_INTAKE).exists():
        return
    text = Text(
        en=f"fleetdx did not run from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC. Assets are given all the "
        "time that they are allowed before they are missed.",
        zh=f"fleetdx 在 {since:%Y-%m-%d %H:%M} 至 {until:%Y-%m-%d %H:%M} UTC 期间未运行。各设备的无数据计时重新开始。",
    )
    _close(_hold(NO_INTAKE, OURSELVES, until.astimezone(UTC).date(), until, text, None), until, "data came again")


def _open(mode: FailureMode) -> QuerySet[Alert]:
    return Alert.objects.exclude(state=Alert.State.CLOSED).filter(failure_mode=mode.code)


def _hold(mode: FailureMode, asset_id: str, day: date, now: datetime, text: Text, alert: Alert | None) -> Alert:
    """Open an alert, or note one more day of the one that is open; what it says of a day stays."""
    severity, hours = _HOURS[mode.code]
    said = Diagnosis(
        asset_id, day, mode.code, "watch:intake", True, severity, hours, now, text, iso14224=mode.iso14224
    )  # fmt: skip
    if alert is None:
        last = Alert.objects.filter(asset_id=asset_id, failure_mode=mode.code).aggregate(last=Max("episode"))["last"]
        alert = Alert(
            asset_id=asset_id, failure_mode=mode.code, episode=(last or 0) + 1, severity=severity, source=said.source,
            ticket=said.ticket, first_day=day, last_true_day=day, known_at=now, act_by=now + timedelta(hours=hours),
        )  # fmt: skip
        put(alert, states.raised(day))
    elif day > alert.last_day:
        put(alert, states.observed(life_of(alert), day, True))
        alert.last_true_day = day
    else:
        return alert
    alert.save()
    AlertDay.objects.create(alert=alert, day=day, condition=True, diagnosis=plain_diagnosis(said))
    return alert


def _close(alert: Alert, now: datetime, reason: str) -> None:
    put(alert, states.repaired(life_of(alert)))
    alert.closed_at, alert.closed_reason = now, reason
    alert.save()


def _local(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at // NS, zone):%Y-%m-%d %H:%M}"
