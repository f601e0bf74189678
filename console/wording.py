"""What the pages call things, in the reader's language."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from alerts.tickets import feature_words
from config.knowledge import Knowledge
from config.register import AssetType, Language

SEVERITY = {"info": _("information"), "minor": _("minor"), "major": _("major"), "critical": _("critical")}
STATE = {
    "unacknowledged": _("unacknowledged"),
    "acknowledged": _("acknowledged"),
    "returned": _("returned to normal, unacknowledged"),
    "closed": _("closed"),
}
VERDICT = {
    "confirmed": _("confirmed"),
    "false_alarm": _("false alarm"),
    "no_trouble_found": _("no trouble found"),
}
FINDING = {
    "verdict": _("Verdict"),
    "at": _("Found or repaired at"),
    "failure_mode": _("What it was, if something else"),
    "cause": _("Cause"),
    "root_cause": _("Root cause: why it came back"),
    "action": _("What was done"),
    "parts": _("Parts"),
    "whole_group": _("For the whole group"),
    "downtime_hours": _("Downtime in hours"),
    "cost": _("Cost"),
    "currency": _("Currency, such as EUR"),
}
WITHHELD = {"shelved": _("shelved"), "out-of-service": _("out of service")}
DESTINATION = {"depot": _("depot"), "support": _("technical support"), "factory": _("factory")}
NOT_ALLOWED = {
    "no reason": _("A reason is needed."),
    "end in the past": _("The end lies in the past."),
    "end too far off": _("The end is too far off."),
    "support only": _("Only technical support may do this."),
    "not confirmed": _("Technical support has to confirm the case first."),
    "not from here": _("The case is not where this could be done."),
}


def reader_language() -> Language:
    """Return the language of the page being written."""
    return "zh" if (get_language() or "en").startswith("zh") else "en"


def signal_title(signal: str, asset_type: AssetType) -> str:
    """Return what an asset type calls a signal."""
    return feature_words.signal_title(signal, asset_type, reader_language())


def feature_title(feature: str, asset_type: AssetType) -> str:
    """Return a feature such as ``oil_temp.p95.own`` in words."""
    return feature_words.feature_title(feature, asset_type, reader_language())


def source_title(source: str) -> str:
    """Return who speaks, without the version: ``rule:air-leak@1f3a`` becomes ``rule air-leak``."""
    kind, _, name = source.partition("@")[0].partition(":")
    said = {"rule": gettext("rule"), "watch": gettext("watch")}.get(kind, gettext("model"))
    return f"{said} {name}"


def suppression(reason: str, knowledge: Knowledge) -> str:
    """Return why an alert is suppressed, such as ``explained by AIR-LEAK``, in the reader's words."""
    before, _, code = reason.partition("explained by ")
    mode = knowledge.failure_modes.get(code)
    if before or mode is None:
        return reason
    return gettext("explained by: %(failure_mode)s") % {"failure_mode": mode.title.in_language(reader_language())}


def closing(reason: str, knowledge: Knowledge) -> str:
    """Return why an alert was closed, such as ``failure: AIR-LEAK``, in the reader's words."""
    kind, _, what = reason.partition(": ")
    if kind == "outcome" and what in VERDICT:
        return gettext("found: %(verdict)s") % {"verdict": VERDICT[what]}
    mode = knowledge.failure_modes.get(what)
    known = {"failure": gettext("failure"), "maintenance": gettext("repair")}.get(kind)
    if known is None:
        whole = {
            "returned to normal": gettext("returned to normal"),
            "data came again": gettext("data came again"),
            "no longer in the register": gettext("no longer in the register"),
        }
        return whole.get(reason, reason)
    return f"{known}: {mode.title.in_language(reader_language()) if mode is not None else what}"


_BELOW_BAR = re.compile(r"(\d+) of (\d+) confirmed: at most (\S+) with (\S+) confidence, below (\S+)")


def probation(why: str) -> str:
    """Return why a version is on probation, such as ``1 of 5 confirmed: at most 49% ...``, in the reader's words."""
    match = _BELOW_BAR.fullmatch(why)
    if match is None:
        return why
    names = ("confirmed", "judged", "most", "confidence", "bar")
    template = gettext(
        "%(confirmed)s of %(judged)s confirmed: at most %(most)s with %(confidence)s confidence, below %(bar)s"
    )
    return template % dict(zip(names, match.groups(), strict=True))


def local(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant as people at the site write it."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
