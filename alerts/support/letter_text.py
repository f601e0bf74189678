"""What a letter to the people of support says: by site, in its language and local time, a line for each group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any

from alerts.models import Alert, Notice
from alerts.tickets.text import failure_mode_of, local_time
from config.installation import Installation
from config.register import SEVERITIES, Language, Severity, Site

_WORDS: Mapping[str, tuple[str, str]] = {
    "new": ("new", "新"),
    "again": ("again", "再次出现"),
    "escalated": ("not acknowledged in time, now called: {about}", "未按时确认，现通知：{about}"),
    "hold-ended": ("no longer shelved or out of service", "搁置或停用已结束"),
    "handed-over": ("passed on to {about}", "已转交：{about}"),
    "act_by": ("act by {at}", "处理期限 {at}"),
    "assets": ("{n} assets", "{n} 台设备"),
    "more": ("and {n} more", "另有 {n} 台"),
    "further": ("and {n} further lines, in the console", "另有 {n} 行，见控制台"),
    "flood": ("many alerts at once", "多个告警同时出现"),
    "subject": ("fleetdx: {n} alerts, {severity}", "fleetdx：{n} 个告警，{severity}"),
    "unknown": ("no longer in the register", "已不在台账中"),
    "minor": ("minor", "轻微"),
    "major": ("major", "严重"),
    "critical": ("critical", "紧急"),
    "info": ("information", "提示"),
    "support": ("technical support", "技术支持"),
    "factory": ("the factory", "制造厂"),
    "depot": ("the depot", "段所"),
}
MOST_LINES = 200
_NAMED = 20
"""Assets of a group that a line names; its page and its ticket name them all."""


def _say(name: str, language: Language, **given: object) -> str:
    return _WORDS[name][0 if language == "en" else 1].format(**given)


def letter(address: str, notices: Sequence[Notice], installation: Installation) -> EmailMessage:
    """Write one letter with everything that there is to tell."""
    sites: defaultdict[str, list[Notice]] = defaultdict(list)
    assets = installation.register.assets
    for notice in notices:
        sites[assets[notice.alert.asset_id].site if notice.alert.asset_id in assets else ""].append(notice)
    body: list[str] = []
    for site_id in sorted(sites):
        site = installation.register.sites.get(site_id)
        language: Language = site.language if site is not None else "en"
        body += [site.title if site is not None else _say("unknown", language)]
        lines = _lines(sites[site_id], site, language, installation)
        body += [f"  {line}" for line in lines[:MOST_LINES]]
        if len(lines) > MOST_LINES:
            body.append(f"  {_say('further', language, n=len(lines) - MOST_LINES)}")
        body.append("")
    if base := installation.settings.console.base_url:
        body.append(f"{base}/")
    first = installation.register.sites.get(min(sites))
    language = first.language if first is not None else "en"
    alerts = {notice.alert.pk: notice.alert for notice in notices}
    worst = _worst(alerts.values())
    message = EmailMessage()
    message["From"], message["To"] = installation.settings.notify.sender, address
    message["Subject"] = _say("subject", language, n=len(alerts), severity=_say(worst, language))
    message["Message-ID"] = make_msgid("fleetdx", domain="fleetdx.invalid")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nothing that answers by itself answers this
    message.set_content("\n".join(body) + "\n")
    return message


def _lines(notices: Sequence[Notice], site: Site | None, language: Language, installation: Installation) -> list[str]:
    """Return a line for each alert that stands alone, and one for each group, the most urgent first."""
    together: defaultdict[tuple[str, int], list[Notice]] = defaultdict(list)
    for notice in notices:
        group = notice.alert.group_id
        together["alert" if group is None else "group", group or notice.alert.pk].append(notice)
    rows = []
    for (kind, number), some in together.items():
        alerts = list({notice.alert.pk: notice.alert for notice in some}.values())
        worst, act_by = _worst(alerts), min(alert.act_by for alert in alerts)
        modes = {alert.failure_mode for alert in alerts}
        title = (
            failure_mode_of(modes.pop(), installation.knowledge).title.in_language(language)
            if len(modes) == 1
            else _say("flood", language)
        )
        why = dict.fromkeys(_why(notice, language) for notice in some)
        at = _say("act_by", language, at=local_time(act_by, site.zone)) if site is not None else ""
        base = installation.settings.console.base_url
        link = f"{base}/{kind}s/{number}/" if base else ""
        parts = [f"[{_say(worst, language)}] {_who(alerts, language)}: {title}", at, "; ".join(why), link]
        rows.append((-SEVERITIES.index(worst), act_by, " · ".join(filter(None, parts))))
    return [line for _, _, line in sorted(rows)]


def _why(notice: Notice, language: Language) -> str:
    about = _say(notice.about, language) if notice.about in Alert.Destination.values else notice.about
    return _say(notice.reason, language, about=about)


def _who(alerts: Sequence[Alert], language: Language) -> str:
    names = sorted({alert.asset_id for alert in alerts})
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:_NAMED])
    more = f" {_say('more', language, n=len(names) - _NAMED)}" if len(names) > _NAMED else ""
    return f"{_say('assets', language, n=len(names))} ({shown}{more})"


def _worst(alerts: Iterable[Alert]) -> Severity:
    return max((_severity(alert) for alert in alerts), key=SEVERITIES.index)


def _severity(alert: Alert) -> Any:
    return alert.severity
