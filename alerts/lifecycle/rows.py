"""Where an alert's row stands in its life: between the tables and the pure life cycle."""

from __future__ import annotations

from alerts.lifecycle.states import Life
from alerts.models import Alert


def life_of(alert: Alert) -> Life:
    """Return the life that a row holds."""
    return Life(alert.state, alert.last_day, alert.days_seen, alert.days_clear, alert.held)  # type: ignore[arg-type]


def put(alert: Alert, life: Life) -> None:
    """Write a life into a row, which is not saved."""
    alert.state, alert.last_day = life.state, life.last_day
    alert.days_seen, alert.days_clear, alert.held = life.days_seen, life.days_clear, life.held
