"""How data comes in: whether it does, what was counted, and how each asset reports."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from alerts.lifecycle.silence import OURSELVES
from alerts.models import Alert, AssetDayRun
from config.operating_day import NS
from console.context import provided
from console.wording import reader_language
from ingest.accounting import Intake
from ingest.counters import UNKNOWN_ASSET, Counters
from ingest.reporting import COMPLETE, Link, links

_DAYS = 14
_HEIGHT = 24.0
_MOST = 500
_GONE_S = 60.0


@dataclass(frozen=True, slots=True)
class Bar:
    """Completeness of one scored day, in pixels."""

    x: int
    y: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Row:
    """One asset in words."""

    link: Link
    site_title: str
    state: str
    quiet: str
    complete: str
    clock: str
    bars: tuple[Bar, ...]
    average: str
    """Over the days that the bars show."""


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show what comes in; of assets those that want a look, or with ``?all=1`` all of them."""
    here, now = provided(), time.time_ns()
    register = here.installation.register
    if here.accounting is None:
        return render(request, "console/data.html", {"rows": [], "counters": None})
    counters, intake, states = here.accounting.counters(), here.accounting.intake(), here.accounting.status()
    found = links(register, here.installation.settings.daily, states, here.accounting.arrivals(), now)
    every = request.GET.get("all") == "1"
    shown = [link for link in found if every or link.wants_a_look][:_MOST]
    days = _completeness({link.asset_id for link in shown})
    unknown = next((state.quarantined for state in states if state.asset_id == UNKNOWN_ASSET), 0)
    return render(
        request,
        "console/data.html",
        {
            "problems": list(_problems(intake, now)),
            "ours": _ours(),
            "counts": _counts(counters, here.accounting.count_quarantined(), unknown),
            "reasons": sorted(counters.reasons.items(), key=lambda item: -item[1]),
            "counters": counters,
            "assets": len(found),
            "silent": sum(link.silent for link in found),
            "offline": sum(link.online is False for link in found),
            "every": every,
            "unshown": len(found) - len(shown),
            "rows": [_row(link, register.sites[link.site].title, days[link.asset_id]) for link in shown],
        },
    )


def _problems(intake: Intake | None, now: int) -> Iterable[str]:
    """Yield what concerns all assets at once."""
    if intake is None:
        return
    if now - intake.at > _GONE_S * NS:
        yield gettext("The intake gave no sign for %(time)s.") % {"time": ago((now - intake.at) / NS)}
    elif intake.problem:
        since = ago((now - intake.since) / NS)
        yield gettext("Nothing is taken in, since %(time)s: %(why)s") % {"time": since, "why": intake.problem}
    if intake.waiting:
        yield gettext(
            "%(n)s messages (%(mb)s MB, %(share)s %% of what may) wait on disk for the telemetry store."
        ) % {
            "n": f"{intake.waiting:,}",
            "mb": f"{intake.waiting_bytes / 1e6:,.1f}",
            "share": f"{100 * intake.waiting_bytes / max(1, intake.waiting_most):.0f}",
        }  # fmt: skip


def _ours() -> dict[str, object] | None:
    """Return the open alert about the program itself, if there is one."""
    alert = Alert.objects.exclude(state=Alert.State.CLOSED).filter(asset_id=OURSELVES).first()
    latest = alert.days.order_by("-day").first() if alert is not None else None
    if alert is None or latest is None:
        return None
    waits = alert.state == Alert.State.UNACKNOWLEDGED
    return {"id": alert.pk, "says": latest.diagnosis["text"][reader_language()], "can_acknowledge": waits}


def _counts(counters: Counters, in_quarantine: int, unknown: int) -> list[dict[str, str]]:
    counted = [
        (gettext("Samples stored"), counters.stored),
        (gettext("Known already"), counters.duplicates),
        (gettext("Quarantined"), counters.quarantined),
        (gettext("Values flagged"), counters.flagged_values),
        (gettext("Late samples"), counters.late),
        (gettext("Messages from clocks ahead of ours"), counters.ahead),
        (gettext("Messages that never came"), counters.lost),
        (gettext("Messages in quarantine"), in_quarantine),
        (gettext("Of unknown assets"), unknown),
    ]
    return [{"name": name, "value": f"{n:,}"} for name, n in counted]


def _completeness(asset_ids: set[str]) -> defaultdict[str, dict[date, float]]:
    """Return how complete the last scored days of these assets were."""
    since = datetime.now(UTC).date() - timedelta(days=_DAYS)
    runs = AssetDayRun.objects.filter(asset_id__in=asset_ids, day__gt=since)
    found: defaultdict[str, dict[date, float]] = defaultdict(dict)
    for asset_id, day, share in runs.values_list("asset_id", "day", "completeness"):
        found[asset_id][day] = share
    return found


def _row(link: Link, site_title: str, days: dict[date, float]) -> Row:
    first = datetime.now(UTC).date() - timedelta(days=_DAYS - 1)
    bars = []
    for day, share in sorted(days.items()):
        height = max(2.0, round(share * _HEIGHT, 1))
        colour = "#15803d" if share >= COMPLETE else "#d9480f"
        bars.append(Bar((day - first).days * 9, round(_HEIGHT + 1 - height, 1), height, colour))
    words = {True: gettext("online"), False: gettext("offline"), None: "–"}
    clock = gettext("%(time)s ahead") % {"time": ago(link.clock_seconds)} if (link.clock_seconds or 0) >= 1 else ""
    if link.future:
        clock = ", ".join(filter(None, [clock, gettext("%(n)s refused") % {"n": f"{link.future:,}"}]))
    return Row(
        link,
        site_title,
        words[link.online],
        ago(link.silent_seconds) if link.silent_seconds is not None else gettext("never"),
        f"{100 * link.completeness:.0f} %" if link.completeness is not None else "–",
        clock or "–",
        tuple(bars),
        f"{100 * sum(days.values()) / len(days):.0f} %" if days else "–",
    )


def ago(seconds: float | None) -> str:
    """Return a time in its largest unit."""
    seconds = seconds or 0.0
    for length, unit in ((86_400, gettext("d")), (3_600, gettext("h")), (60, gettext("min"))):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
