"""The list of open alerts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from alerts.lifecycle.recurrence import recurrences
from alerts.lifecycle.shelving import Holds
from alerts.models import Alert, AlertGroup, AssetDayRun, Score
from console.context import provided
from console.grouping import group_headline
from console.handling import recurrence_text, withheld_text
from console.headline import Headline, headline
from models.ensemble import ENSEMBLE

_SPARK_DAYS = 14
_SPARK_HEIGHT = 24.0
_LATELY = 20
_MOST = 500


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of a row's small score chart, in pixels."""

    x: int
    y: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    alert: Headline
    spark: tuple[Bar, ...]
    recurrence: str
    withheld: str


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show what is open, the most urgent first, and what was closed lately."""
    installation, held_back = provided().installation, provided().held_back
    is_open = Alert.objects.exclude(state=Alert.State.CLOSED).select_related("case__carrier", "group")
    alone = is_open.filter(group=None)
    opened = list(alone.order_by("suppressed_by", "act_by", "asset_id")[:_MOST])
    together: defaultdict[AlertGroup, list[Alert]] = defaultdict(list)
    for alert in is_open.exclude(group=None).order_by("act_by", "asset_id"):
        assert alert.group is not None
        together[alert.group].append(alert)
    closed = Alert.objects.filter(state=Alert.State.CLOSED).select_related("case__carrier").order_by("-closed_at")
    sparks = _sparks({alert.asset_id for alert in opened})
    holds, now = Holds(), datetime.now(UTC)
    back = recurrences(opened, installation.settings.alerts.recurrence_days)

    def row(alert: Alert) -> Row:
        site = installation.register.sites.get(getattr(installation.register.assets.get(alert.asset_id), "site", ""))
        return Row(
            headline(alert, installation),
            sparks[alert.asset_id],
            recurrence_text(back[alert.pk], installation),
            withheld_text(alert, holds, now, site.zone if site is not None else ZoneInfo("UTC")),
        )

    rows = [row(alert) for alert in opened]
    return render(
        request,
        "console/alerts.html",
        {
            # What a person left alone comes last: it asks for nothing.
            "rows": sorted(rows, key=lambda one: bool(one.withheld)),
            "unshown": alone.count() - len(opened) if len(opened) == _MOST else 0,
            "groups": [group_headline(group, members, installation) for group, members in together.items()],
            "closed": [headline(alert, installation) for alert in closed[:_LATELY]],
            "held_back": sorted(held_back),
        },
    )


def _sparks(asset_ids: Iterable[str]) -> Mapping[str, tuple[Bar, ...]]:
    """Return the small chart of each asset: its last days up to the last day that anything was scored on."""
    last: date | None = AssetDayRun.objects.aggregate(last=Max("day"))["last"]
    if last is None:
        return defaultdict(tuple)
    first = last - timedelta(days=_SPARK_DAYS - 1)
    bars: defaultdict[str, list[Bar]] = defaultdict(list)
    scores = Score.objects.filter(detector=ENSEMBLE, day__range=(first, last), asset_id__in=list(asset_ids))
    for score in scores.order_by("day"):
        height = max(2.0, round(score.level * _SPARK_HEIGHT, 1))
        colour = "#7c3aed" if score.score > score.threshold else "#c4b5fd"
        bars[score.asset_id].append(
            Bar((score.day - first).days * 9, round(_SPARK_HEIGHT + 1 - height, 1), height, colour)
        )
    return defaultdict(tuple, {asset_id: tuple(found) for asset_id, found in bars.items()})
