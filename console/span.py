"""Which operating days of an alert a page shows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from django.db.models import Max
from django.http import HttpRequest

from alerts.models import Alert, AssetDayRun

CHOICES: Final = (14, 28, 60)
DEFAULT: Final = 28
_AFTER_CLOSING = timedelta(days=3)


def chosen_days(request: HttpRequest) -> int:
    """Return how many days the reader asked for; what is not offered is taken as the default."""
    asked = request.GET.get("days", "")
    return int(asked) if asked in {str(choice) for choice in CHOICES} else DEFAULT


def span(alert: Alert, days: int) -> tuple[date, date]:
    """Return the first and last day to show: up to the newest that is scored, or a little after the alert's end."""
    newest: date | None = AssetDayRun.objects.filter(asset_id=alert.asset_id).aggregate(last=Max("day"))["last"]
    last = max(newest or alert.last_day, alert.last_day)
    if alert.closed_at is not None:
        last = min(last, alert.closed_at.date() + _AFTER_CLOSING)
    return last - timedelta(days=days - 1), last
