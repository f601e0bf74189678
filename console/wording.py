"""What the pages call things, in the reader's language."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from config.knowledge import Knowledge
from config.register import AssetType, Language

SEVERITY = {"info": _("information"), "minor": _("minor"), "major": _("major"), "critical": _("critical")}
STATE = {
    "unacknowledged": _("unacknowledged"),
    "acknowledged": _("acknowledged"),
    "returned": _("returned to normal, unacknowledged"),
    "closed": _("closed"),
}
_STATISTICS = {
    "mean": _("daily mean"),
    "std": _("spread over the day"),
    "min": _("lowest of the day"),
    "max": _("highest of the day"),
    "p05": _("low end of the day (5th percentile)"),
    "p95": _("high end of the day (95th percentile)"),
    "count": _("times set"),
    "rate": _("how often, against its own past"),
    "novel": _("codes not seen on it before"),
}
_AGAINST = {"own": _("against its own past"), "peers": _("against the other assets of its site that day")}


_CALL = re.compile(r"""^(\w+)\(['"]?([\w.-]*)['"]?(?:, days=(\d+))?\)$""")
_FUNCTIONS = {
    "faults": _("%(what)s: times set within %(days)s days"),
    "trend": _("%(what)s: change per day over %(days)s days"),
    "mean": _("%(what)s: mean over %(days)s days"),
}


def reader_language() -> Language:
    """Return the language of the page being written."""
    return "zh" if (get_language() or "en").startswith("zh") else "en"


def signal_title(signal: str, asset_type: AssetType) -> str:
    """Return what an asset type calls a signal."""
    known = asset_type.signal.get(signal)
    if known is None or known.title is None:
        return signal.replace("_", " ")
    return known.title.in_language(reader_language())


def feature_title(feature: str, asset_type: AssetType) -> str:
    """Return a feature such as ``oil_temp.p95.own`` in words."""
    if call := _CALL.match(feature):
        function, argument, days = call.groups()
        inner = _fault_title(argument, asset_type) if function == "faults" else feature_title(argument, asset_type)
        told = _FUNCTIONS.get(function)
        return str(told) % {"what": inner, "days": days} if told is not None and days else feature
    name, *rest = feature.split(".")
    if name == "score":
        return gettext("anomaly score")
    if name == "exposure":
        return gettext("hours in operation") if rest == ["hours"] else gettext("distance covered")
    if name == "completeness":
        return gettext("share of the expected data")
    if name == "faults":
        code, what = (rest[0], rest[-1]) if len(rest) > 1 else ("", rest[-1] if rest else "count")
        return f"{_fault_title(code, asset_type)}, {_STATISTICS.get(what, what)}"
    words = [signal_title(name, asset_type), *(str(_STATISTICS.get(r) or _AGAINST.get(r) or r) for r in rest)]
    return ", ".join(words)


def _fault_title(code: str, asset_type: AssetType) -> str:
    known = asset_type.fault.get(code)
    if known is None:
        return code or gettext("all faults")
    return f"{code} {known.title.in_language(reader_language())}"


def source_title(source: str) -> str:
    """Return who speaks, without the version: ``rule:air-leak@1f3a`` becomes ``rule air-leak``."""
    kind, _, name = source.partition("@")[0].partition(":")
    return f"{gettext('rule') if kind == 'rule' else gettext('model')} {name}"


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
    mode = knowledge.failure_modes.get(what)
    known = {"failure": gettext("failure"), "maintenance": gettext("repair")}.get(kind)
    if known is None:
        return gettext("returned to normal") if reason == "returned to normal" else reason
    return f"{known}: {mode.title.in_language(reader_language()) if mode is not None else what}"


def local(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant as people at the site write it."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
