"""The page of one alert: what was seen against normal, what makes up the score, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from alerts.lifecycle import review
from alerts.lifecycle.silence import OURSELVES
from alerts.models import Alert, AssetDayRun, Score
from alerts.tickets.advice import Line, advice, percent
from alerts.tickets.expected import expected_time
from alerts.tickets.text import failure_mode_of, figure, local_time, unit_of, warranty, word
from config.installation import Installation
from config.knowledge import FailureMode
from config.operating_day import NS
from config.register import Asset, AssetType, Site
from console.context import provided
from console.found import found
from console.handling import handling
from console.headline import headline
from console.span import CHOICES, chosen_days, span
from console.wording import feature_title, reader_language
from diagnostics.condition import of_asset
from models.ensemble import ENSEMBLE

_FAULT_ROWS = 40
_HEALTH_DAYS = 30
_BAR = 150
_SHORT_BAR = 70


@require_GET
def page(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Show an alert with its evidence."""
    alert = get_object_or_404(Alert.objects.select_related("case__carrier", "group", "verified_by"), pk=alert_id)
    installation = provided().installation
    asset = installation.register.assets.get(alert.asset_id)
    if alert.asset_id == OURSELVES:
        return redirect("data")
    if asset is None:
        messages.info(request, gettext("This asset is no longer in the register."))
        return redirect("alerts")
    asset_type, site = installation.register.type_of(asset.id), installation.register.site_of(asset.id)
    mode = failure_mode_of(alert.failure_mode, installation.knowledge)
    days = chosen_days(request)
    first, last = span(alert, days)
    latest = alert.days.filter(condition=True).order_by("-day").first()
    assert latest is not None, "an alert opens with a day on which its condition held"
    return render(
        request,
        "console/alert.html",
        {
            "alert": headline(alert, installation),
            "says": latest.diagnosis["text"][reader_language()],
            "said_by": latest.diagnosis["source"],
            "expected": expected_time(latest.diagnosis, site.zone, reader_language()),
            "occurrences": alert.days_seen,
            "health": _health(alert),
            "warranty": warranty(asset, mode, alert.first_day, reader_language()),
            "acknowledged": _by(alert.acknowledged_at, alert.acknowledged_by, site.zone),
            "confirmed": _by(alert.confirmed_at, alert.confirmed_by, site.zone),
            "can_acknowledge": alert.state in (Alert.State.UNACKNOWLEDGED, Alert.State.RETURNED),
            "can_confirm": alert.state != Alert.State.CLOSED and not hasattr(alert, "case"),
            "days": days,
            "spans": CHOICES,
            "evidence": [_evidence(item, asset_type) for item in latest.diagnosis["evidence"]],
            "evidence_day": str(latest.day),
            "score_day": str(alert.last_true_day),
            "contributions": _contributions(alert, asset_type),
            "fault_log": list(_fault_log(alert.asset_id, asset_type, site.zone, first, last)),
            **_advice(latest.diagnosis, mode, installation, asset, site),
            "handling": handling(alert, site, installation, request.user, datetime.now(UTC)),
            "asset_facts": _asset_facts(asset, asset_type, site),
            "course": _course(alert),
            **found(alert, site, installation),
        },
    )


@require_POST
def acknowledge(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Note that the reader has seen the alert."""
    get_object_or_404(Alert, pk=alert_id)
    review.acknowledge(alert_id, request.user)
    messages.success(request, gettext("Acknowledged."))
    return redirect("alert", alert_id=alert_id)


@require_POST
def confirm(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Let the reader, as technical support, turn the alert into a ticket."""
    get_object_or_404(Alert, pk=alert_id)
    review.confirm(alert_id, request.user)
    messages.success(request, gettext("Confirmed: the ticket is on its way."))
    return redirect("alert", alert_id=alert_id)


def _by(at: datetime | None, user: Any, zone: ZoneInfo) -> str:
    return f"{local_time(at, zone)}, {user}" if at is not None else ""


def _evidence(item: Mapping[str, Any], asset_type: AssetType) -> dict[str, str]:
    feature = item["feature"]
    unit = unit_of(feature, asset_type)
    return {
        "feature": feature,
        "title": feature_title(feature, asset_type),
        "value": figure(item["value"], unit) or gettext("not reported"),
        "normal": figure(item["normal"], unit) or gettext("not known"),
    }


def _contributions(alert: Alert, asset_type: AssetType) -> list[dict[str, object]]:
    score = Score.objects.filter(asset_id=alert.asset_id, detector=ENSEMBLE, day=alert.last_true_day).first()
    if score is None:
        return []
    return [
        {
            "feature": item["feature"],
            "title": feature_title(item["feature"], asset_type),
            "value": figure(item["value"], unit_of(item["feature"], asset_type)),
            "share": round(100 * (item["share"] or 0)),
            "width": round(_BAR * (item["share"] or 0), 1),
        }
        for item in score.contributions
    ]


def _fault_log(
    asset_id: str, asset_type: AssetType, zone: ZoneInfo, first: date, last: date
) -> Iterable[dict[str, object]]:
    """Yield the log's rows, the newest day first."""
    left = _FAULT_ROWS
    for run in AssetDayRun.objects.filter(asset_id=asset_id, day__range=(first, last)).order_by("-day"):
        for entry in run.fault_log["entries"]:
            if left == 0:
                return
            left -= 1
            known = asset_type.fault.get(entry["code"])
            yield {
                "day": str(run.day),
                "code": entry["code"],
                "severity": entry["severity"],
                "title": known.title.in_language(reader_language()) if known is not None else "",
                "new": entry["new"],
                "count": entry["count"],
                "first": _clock(entry["first"], zone),
                "last": _clock(entry["last"], zone),
                "context": ", ".join(f"{name} {figure(value)}" for name, value in entry["context"].items()),
            }


def _clock(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at // NS, UTC).astimezone(zone):%H:%M}"


def _advice(
    diagnosis: Mapping[str, Any], mode: FailureMode, installation: Installation, asset: Asset, site: Site
) -> dict[str, object]:
    language = reader_language()
    today = datetime.now(site.zone).date()
    told = advice(diagnosis, mode, asset, installation.knowledge, today, language)
    skill = f"{word('skill', language)}: {mode.skill_level}"
    if mode.skill_level > site.skill_level:
        skill += f" ({word('beyond', language)})"
    return {
        "probability": percent(told.probability),
        "rests_on": told.rests_on,
        "modes": [_bar(line) for line in told.modes],
        "causes": [_bar(line) for line in told.causes],
        "repairs": [_bar(line) for line in told.repairs],
        "parts": [_bar(line) for line in told.parts],
        "procedures": told.procedures,
        "drawings": told.drawings,
        "safety": mode.safety.in_language(language) if mode.safety is not None else "",
        "skill": skill,
    }


def _bar(line: Line) -> dict[str, object]:
    share = line.share or 0.0
    return {"line": line, "percent": percent(line.share), "width": round(_SHORT_BAR * share, 1)}


def _asset_facts(asset: Asset, asset_type: AssetType, site: Site) -> list[dict[str, object]]:
    facts: list[tuple[str, object]] = [
        (gettext("Type"), asset_type.title.in_language(reader_language())),
        (gettext("Site"), f"{site.title} ({site.zone.key})"),
    ]
    if asset.commissioned is not None:
        facts.append((gettext("In service since"), str(asset.commissioned)))
    facts += [(name.replace("_", " "), value) for name, value in asset.attributes.items() if value]
    return [{"name": name, "value": value} for name, value in facts]


def _has_health(run: AssetDayRun | None, alert: Alert) -> bool:
    return run is not None and alert.failure_mode in run.health


def _health(alert: Alert) -> dict[str, str] | None:
    """Return the last known health up to the alert's last day, of its failure mode and of the asset as a whole."""
    runs = AssetDayRun.objects.filter(asset_id=alert.asset_id, day__lte=alert.last_day).order_by("-day")
    run = next((run for run in runs[:_HEALTH_DAYS] if _has_health(run, alert)), None)
    if run is None:
        return None
    whole = of_asset(run.health)
    return {"mode": f"{run.health[alert.failure_mode]:.0f}", "asset": f"{whole:.0f}", "day": str(run.day)}


def _course(alert: Alert) -> list[dict[str, object]]:
    """Return the alert day by day, the newest first: what was said, the score, how complete the data was."""
    said = {day.day: day.condition for day in alert.days.all()}
    levels = dict(
        Score.objects.filter(asset_id=alert.asset_id, detector=ENSEMBLE, day__in=said).values_list("day", "level")
    )
    runs = {run.day: run for run in AssetDayRun.objects.filter(asset_id=alert.asset_id, day__in=said)}
    words = {True: gettext("holds"), False: gettext("clear"), None: gettext("not known")}
    return [
        {
            "day": str(day),
            "condition": words[said[day]],
            "level": f"{levels[day]:.3f}" if day in levels else "–",
            "health": f"{runs[day].health[alert.failure_mode]:.0f}" if _has_health(runs.get(day), alert) else "–",
            "completeness": f"{100 * runs[day].completeness:.0f} %" if day in runs else "–",
        }
        for day in sorted(said, reverse=True)
    ]
