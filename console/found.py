"""What the page of an alert says of its outcome, of what came before it, and of who raised it."""

from __future__ import annotations

from django.utils.translation import gettext

from alerts.models import Alert, Outcome
from alerts.outcomes.probation import on_probation
from config.installation import Installation
from config.register import Site
from console.wording import FINDING, VERDICT, local, probation, reader_language


def found(alert: Alert, site: Site, installation: Installation) -> dict[str, object]:
    """Return what stands and what stood before it, newest first; the earlier alert; and why its source is on
    probation.
    """
    outcomes = [
        _shown(outcome, site, installation) for outcome in alert.outcomes.select_related("told_on").order_by("-pk")
    ]
    standing = on_probation().filter(source=alert.source).first()
    return {
        "outcomes": outcomes,
        "repeat_of": alert.repeat_of,
        "held": alert.held,
        "probation": probation(standing.why) if standing is not None else "",
    }


def _shown(outcome: Outcome, site: Site, installation: Installation) -> dict[str, object]:
    mode = installation.knowledge.failure_modes.get(outcome.failure_mode)
    parts = installation.knowledge.parts
    named = [part.removeprefix("part:") for part in outcome.parts]
    amounts = {
        "failure_mode": mode.title.in_language(reader_language()) if mode is not None else outcome.failure_mode,
        "cause": outcome.cause,
        "root_cause": outcome.root_cause,
        "action": outcome.action,
        "parts": "; ".join(
            f"{parts[name].title.in_language(reader_language())} [{name}]" if name in parts else name for name in named
        ),
        "downtime_hours": "" if outcome.downtime_hours is None else f"{outcome.downtime_hours:g}",
        "whole_group": gettext("yes") if outcome.whole_group else "",
        "cost": "" if outcome.cost is None else f"{outcome.cost:,} {outcome.currency}",
    }
    return {
        "verdict": VERDICT[outcome.verdict],
        "at": local(outcome.at, site.zone),
        "by": outcome.by or gettext("not known"),
        "stands": outcome.superseded_at is None,
        "told_on": outcome.told_on,
        "facts": [(FINDING[name], text) for name, text in amounts.items() if text],
    }
