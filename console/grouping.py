"""What a list and a page both say of a group of alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from alerts.models import Alert, AlertGroup
from alerts.tickets.text import failure_mode_of
from config.installation import Installation
from config.register import SEVERITIES
from console.wording import SEVERITY, local, reader_language

_RANK: Mapping[str, int] = {name: rank for rank, name in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class GroupHeadline:
    """A group in the words of the page, with what is open of it."""

    id: int
    title: str
    place: str
    severity: str
    severity_title: str
    since: str
    act_by: str
    zone: str
    open: int
    unacknowledged: int


def group_headline(group: AlertGroup, opened: Sequence[Alert], installation: Installation) -> GroupHeadline:
    """Return a group in words; ``opened`` are its open alerts."""
    site = installation.register.sites.get(group.site)
    zone = site.zone if site is not None else ZoneInfo("UTC")
    asset_type = installation.register.asset_types.get(group.asset_type)
    worst = max((alert.severity for alert in opened), key=_RANK.__getitem__, default="info")
    place = site.title if site is not None else group.site or gettext("the whole fleet")
    if group.kind == AlertGroup.Kind.CAUSE:
        title = failure_mode_of(group.failure_mode, installation.knowledge).title.in_language(reader_language())
    else:
        title = gettext("Many alerts at once")
    if asset_type is not None:
        place = f"{place} · {asset_type.title.in_language(reader_language())}"
    return GroupHeadline(
        id=group.pk,
        title=title,
        place=place,
        severity=worst,
        severity_title=str(SEVERITY[worst]),
        since=local(group.first_at, zone),
        act_by=local(min(alert.act_by for alert in opened), zone) if opened else "",
        zone=zone.key,
        open=len(opened),
        unacknowledged=sum(1 for alert in opened if alert.state == Alert.State.UNACKNOWLEDGED),
    )
