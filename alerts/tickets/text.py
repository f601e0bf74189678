"""What a ticket says: the evidence, the urgency in the depot's time, and what to do, in the depot's language.

Pure: from plain values to text. ``compose`` at the end reads the tables for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from alerts.connectors.connector import Permanent, TicketDraft
from alerts.lifecycle.fingerprint import ticket_key
from alerts.lifecycle.recurrence import recurrences
from alerts.models import Alert, AssetDayRun, Ticket
from alerts.tickets.advice import Advice, Line, advice, percent
from alerts.tickets.expected import expected_time
from alerts.tickets.feature_words import feature_title
from alerts.tickets.group_text import Carried, carried_data, carried_lines, whose
from config.installation import Installation
from config.knowledge import OWN_MODES, FailureMode, Knowledge
from config.register import SEVERITIES, Asset, AssetType, Language, Site, Text
from config.units import printed

_WORDS: Mapping[str, tuple[str, str]] = {
    "act_by": ("Act by", "处理期限"),
    "severity": ("Severity", "严重程度"),
    "asset": ("Asset", "设备"),
    "site": ("Site", "段所"),
    "evidence": ("What was seen", "观察到的情况"),
    "normal": ("normal", "正常值"),
    "unknown": ("not reported", "未上报"),
    "faults": ("Fault log of the last days", "近日故障记录"),
    "freeze": ("freeze frame", "冻结帧"),
    "do": ("What to do", "处理步骤"),
    "probability": ("Probability", "概率"),
    "expected": ("Failure expected", "预计故障时间"),
    "modes": ("Failure modes that come into question", "可能的故障模式"),
    "causes": ("Candidate causes", "可能原因"),
    "repairs": ("Repairs, the most probable first", "维修措施（按可能性排序）"),
    "parts": ("Probable parts", "可能需要的备件"),
    "drawings": ("Drawings", "图纸"),
    "safety": ("Safety", "安全提示"),
    "skill": ("Maintenance level needed (EN 13306)", "所需维修等级 (EN 13306)"),
    "beyond": ("above this site's own; ask technical support", "高于本段所能力，请联系技术支持"),
    "warranty": ("Warranty at the first symptom", "首次症状时的保修状态"),
    "in_force": ("in force until", "有效期至"),
    "expired": ("ended on", "已于此日到期"),
    "not_known": ("not recorded", "无记录"),
    "came_back": ("Came back", "再次出现"),
    "times_in_days": ("{times} × in {days} days", "{days} 天内 {times} 次"),
    "console": ("Evidence with charts", "图表与证据"),
    "source": ("Said by", "诊断来源"),
    "repeat": ("Repeat offender: it is back after", "重复故障：此前已处理的工单再次出现"),
    "until_root": (
        "It stays open until its root cause is recorded, beside what was found.",
        "在处理结果中登记根本原因之前，本告警不会关闭。",
    ),
    "confirmed": ("confirmed", "属实"),
    "false_alarm": ("false alarm", "误报"),
    "no_trouble_found": ("no trouble found", "未发现故障"),
    "minor": ("minor", "轻微"),
    "major": ("major", "严重"),
    "critical": ("critical", "紧急"),
    "info": ("information", "提示"),
}


def word(name: str, language: Language) -> str:
    """Return a fixed word of tickets in a language."""
    return _WORDS[name][0 if language == "en" else 1]


@dataclass(frozen=True, slots=True)
class FaultLine:
    """One code on one day, for the ticket's fault log."""

    day: date
    code: str
    count: int
    context: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """All that a ticket is written from; ``diagnosis`` is as ``alerts.lifecycle.plain`` gives it."""

    asset: Asset
    asset_type: AssetType
    site: Site
    failure_mode: FailureMode
    episode: int
    severity: str
    known_at: datetime
    act_by: datetime
    first_day: date
    diagnosis: Mapping[str, Any]
    faults: Sequence[FaultLine]
    console_url: str = ""
    repeats: Repeated | None = None
    carried: Sequence[Carried] = ()
    """Alerts that have no ticket of their own because this one names them."""
    came_back: int = 0
    recurrence_days: int = 0
    """How often it came back in so many days."""

    @property
    def today(self) -> date:
        """The day at the site on which it became known."""
        return self.known_at.astimezone(self.site.zone).date()


@dataclass(frozen=True, slots=True)
class Repeated:
    """The earlier ticket after whose outcome a failure mode is back on an asset."""

    key: str
    verdict: str
    on: date
    action: str


def draft(case: Case, knowledge: Knowledge) -> TicketDraft:
    """Write the ticket: in the site's language, and in English below where that is another."""
    languages: list[Language] = [case.site.language] if case.site.language == "en" else [case.site.language, "en"]
    body = "\n\n----\n\n".join("\n".join(_lines(case, knowledge, language)) for language in languages)
    language = languages[0]
    of_whom = whose(case.asset.id, case.carried, language)
    title = f"{of_whom}: {case.failure_mode.title.in_language(language)} ({word(case.severity, language)})"
    return TicketDraft(
        key=ticket_key(case.asset.id, case.failure_mode.code, case.episode),
        title=title,
        body=body,
        asset_id=case.asset.id,
        failure_mode=case.failure_mode.code,
        severity=case.severity,
        data=_data(case, knowledge),
    )


def _lines(case: Case, knowledge: Knowledge, language: Language) -> list[str]:
    def say(name: str) -> str:
        return word(name, language)

    mode = case.failure_mode
    told = advice(case.diagnosis, mode, case.asset, knowledge, case.today, language)
    lines = [
        str(case.diagnosis["text"][language]),
        "",
        f"{say('act_by')}: {local_time(case.act_by, case.site.zone)}",
        f"{say('severity')}: {say(case.severity)}",
        *_probability(told, language),
        *_expected(case, language),
        *_recurrence(case, language),
        f"{say('asset')}: {case.asset.id}, {case.asset_type.title.in_language(language)}",
        f"{say('site')}: {case.site.title}",
        *carried_lines(case.asset.id, case.carried, case.site.zone, language),
        "",
        f"{say('evidence')}:",
        *(_evidence(item, case, language) for item in case.diagnosis["evidence"]),
        f"{say('source')}: {case.diagnosis['source']}",
    ]
    if case.repeats is not None:
        earlier = case.repeats
        done = f"; {earlier.action}" if earlier.action else ""
        lines += [
            "",
            f"{say('repeat')} {earlier.key} ({earlier.on}: {say(earlier.verdict)}{done}). {say('until_root')}",
        ]
    if case.faults:
        lines += ["", f"{say('faults')}:", *(_fault(line, case, language) for line in case.faults)]
    if mode.safety is not None:
        lines += ["", f"{say('safety')}: {mode.safety.in_language(language)}"]
    lines += _advice(told, language)
    skill = f"{say('skill')}: {mode.skill_level}"
    if mode.skill_level > case.site.skill_level:
        skill += f" ({say('beyond')})"
    lines += ["", skill, f"{say('warranty')}: {warranty(case.asset, mode, case.first_day, language)}"]
    if case.console_url:
        lines.append(f"{say('console')}: {case.console_url}")
    return lines


def _recurrence(case: Case, language: Language) -> list[str]:
    if not case.came_back:
        return []
    times = word("times_in_days", language).format(times=case.came_back, days=case.recurrence_days)
    return [f"{word('came_back', language)}: {times}"]


def local_time(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant as people at the site say it, with the zone's name."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})"


def warranty(asset: Asset, mode: FailureMode, on: date, language: Language) -> str:
    """Return whether the warranty was in force on a day, as a sentence."""
    until = mode.warranty.until(asset) if mode.warranty is not None else asset.warranty_until
    if until is None:
        return word("not_known", language)
    state = f"{word('in_force' if on <= until else 'expired', language)} {until}"
    return f"{state}; {mode.warranty.terms.in_language(language)}" if mode.warranty is not None else state


def _probability(told: Advice, language: Language) -> list[str]:
    if told.probability is None:
        return []
    return [f"{word('probability', language)}: {percent(told.probability)}" + _bracketed(told.rests_on)]


def _expected(case: Case, language: Language) -> list[str]:
    time = expected_time(case.diagnosis, case.site.zone, language)
    return [f"{word('expected', language)}: {time}"] if time else []


def _advice(told: Advice, language: Language) -> list[str]:
    """Write what is probable, what to do, and with what; a list that is empty has no heading."""
    lines: list[str] = []
    for name, listed in (("modes", told.modes), ("causes", told.causes), ("repairs", told.repairs)):
        if listed:
            lines += ["", f"{word(name, language)}:"]
            numbered = name == "repairs"
            lines += [f"  {n}. {_line(one)}" if numbered else f"  {_line(one)}" for n, one in enumerate(listed, 1)]
    for procedure in told.procedures:
        lines += ["", f"{word('do', language)}: {_line(procedure.heading)}"]
        lines += [f"  {n}. {step}" for n, step in enumerate(procedure.steps, 1)]
    for name, listed in (("parts", told.parts), ("drawings", told.drawings)):
        if listed:
            lines += ["", f"{word(name, language)}:", *(f"  {_line(one)}" for one in listed)]
    return lines


def _line(one: Line) -> str:
    text = one.title + (f" [{one.reference}]" if one.reference else "")
    figures = ", ".join(part for part in (percent(one.share), one.rests_on) if part)
    text += f": {figures}" if figures else ""
    return "; ".join(part for part in (text, one.note, one.url) if part)


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""


def _evidence(item: Mapping[str, Any], case: Case, language: Language) -> str:
    unit = unit_of(item["feature"], case.asset_type)
    value, normal = (figure(item[name], unit) or word("unknown", language) for name in ("value", "normal"))
    title = feature_title(item["feature"], case.asset_type, language)
    return f"  {title}: {value} ({word('normal', language)}: {normal})"


def unit_of(feature: str, asset_type: AssetType) -> str:
    """Return the unit of a feature: its signal's, or sigma for a deviation."""
    signal, _, rest = feature.partition(".")
    if rest.endswith((".own", ".peers", ".drift")):
        return "σ"
    known = asset_type.signal.get(signal)
    return known.unit if known is not None and rest else ""


def figure(value: float | None, unit: str = "") -> str:
    """Return a number as people read it; empty where it is not known."""
    if value is None:
        return ""
    text = f"{value:+.1f}" if unit == "σ" and value else f"{value:.4g}"
    return f"{text} {printed(unit)}".strip()


def _fault(line: FaultLine, case: Case, language: Language) -> str:
    code = case.asset_type.fault.get(line.code)
    title = f" {code.title.in_language(language)}" if code is not None else ""
    text = f"  {line.day} {line.code}{title}: {line.count} ×"
    if line.context:
        frame = ", ".join(f"{name}={figure(value)}" for name, value in line.context.items())
        text += f"; {word('freeze', language)}: {frame}"
    return text


def _data(case: Case, knowledge: Knowledge) -> dict[str, Any]:
    stock = knowledge.stock.get(case.site.id, {})
    parts = [
        part
        | (
            {"in_stock": stock[part["code"]].quantity, "counted": str(stock[part["code"]].counted)}
            if part["code"] in stock
            else {}
        )
        for part in case.diagnosis.get("parts", ())
    ]
    return {
        "asset_id": case.asset.id,
        "asset_type": case.asset.asset_type,
        "site": case.site.id,
        "failure_mode": case.failure_mode.code,
        "iso14224": case.diagnosis.get("iso14224") or case.failure_mode.iso14224,
        "episode": case.episode,
        "severity": case.severity,
        "known_at": case.known_at.astimezone(UTC).isoformat(),
        "act_by": case.act_by.astimezone(UTC).isoformat(),
        "source": case.diagnosis["source"],
        "probability": case.diagnosis.get("probability"),
        "expected": case.diagnosis.get("expected"),
        "failure_modes": list(case.diagnosis.get("ranking", ())),
        "causes": list(case.diagnosis.get("causes", ())),
        "repairs": list(case.diagnosis.get("repairs", ())),
        "parts": parts,
        "skill_level": case.failure_mode.skill_level,
        "evidence": list(case.diagnosis["evidence"]),
        "faults": [{"day": str(f.day), "code": f.code, "count": f.count} for f in case.faults],
        "url": case.console_url,
        "repeat_of": case.repeats.key if case.repeats is not None else "",
        "carried": carried_data(case.carried),
        "came_back": case.came_back,
    }


_FAULT_DAYS = 7


def compose(alert: Alert, installation: Installation) -> TicketDraft:
    """Write the ticket of an alert, from what is known of it now.

    Raises ``Permanent`` where the asset is no longer in the register: nobody knows whose ticket it would be.
    """
    register, knowledge = installation.register, installation.knowledge
    if alert.asset_id not in register.assets:
        raise Permanent(f"asset {alert.asset_id!r} is no longer in the register")
    latest = alert.days.filter(condition=True).order_by("-day").first()
    assert latest is not None, "an alert opens with a day on which its condition held"
    runs = AssetDayRun.objects.filter(asset_id=alert.asset_id, day__lte=alert.last_true_day).order_by("-day")
    faults = [
        FaultLine(run.day, entry["code"], entry["count"], entry["context"])
        for run in runs[:_FAULT_DAYS]
        for entry in run.fault_log["entries"]
        if entry["count"]
    ]
    base = installation.settings.console.base_url
    carried = carried_by(alert, knowledge)
    days = installation.settings.alerts.recurrence_days
    case = Case(
        asset=register.assets[alert.asset_id],
        asset_type=register.type_of(alert.asset_id),
        site=register.site_of(alert.asset_id),
        failure_mode=failure_mode_of(alert.failure_mode, knowledge),
        episode=alert.episode,
        severity=max((alert.severity, *(one.severity for one in carried)), key=SEVERITIES.index),
        known_at=alert.known_at,
        act_by=min((alert.act_by, *(one.act_by for one in carried))),
        first_day=alert.first_day,
        diagnosis=latest.diagnosis,
        faults=faults,
        console_url=f"{base}/alerts/{alert.pk}/" if base else "",
        repeats=_repeated(alert, register.site_of(alert.asset_id).zone),
        carried=carried,
        came_back=recurrences([alert], days)[alert.pk],
        recurrence_days=days,
    )
    return draft(case, knowledge)


def _repeated(alert: Alert, zone: ZoneInfo) -> Repeated | None:
    earlier = alert.repeat_of
    outcome = earlier.outcomes.filter(superseded_at=None).first() if earlier is not None else None
    if earlier is None or outcome is None:
        return None
    key = ticket_key(earlier.asset_id, earlier.failure_mode, earlier.episode)
    return Repeated(key, outcome.verdict, outcome.at.astimezone(zone).date(), outcome.action)


def carried_by(alert: Alert, knowledge: Knowledge) -> list[Carried]:
    """Return the alerts that the ticket of this one names."""
    return [
        Carried(
            key=ticket.key,
            asset_id=ticket.alert.asset_id,
            failure_mode=ticket.alert.failure_mode,
            title=failure_mode_of(ticket.alert.failure_mode, knowledge).title,
            severity=_severity(ticket.alert),
            act_by=ticket.alert.act_by,
        )
        for ticket in Ticket.objects.filter(carrier__alert=alert).select_related("alert").order_by("id")
    ]


def _severity(alert: Alert) -> Any:
    return alert.severity


def failure_mode_of(code: str, knowledge: Knowledge) -> FailureMode:
    """Return a failure mode; one that the knowledge base has lost since is called by its code."""
    known = knowledge.failure_modes.get(code) or OWN_MODES.get(code)
    return known or FailureMode(code=code, title=Text(en=code, zh=code))
