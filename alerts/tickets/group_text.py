"""What a ticket says of the other assets that it names: those of its group. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from config.register import Language, Severity, Text

_WORDS: Mapping[str, tuple[str, str]] = {
    "heading": (
        "This ticket stands for {n} more alerts ({assets} assets in all). Each is to be looked at:",
        "本工单还包括另外 {n} 个告警（共 {assets} 台设备），须逐一检查：",
    ),
    "act_by": ("act by", "处理期限"),
    "title": ("{first} and {n} more", "{first} 等 {n} 台设备"),
    "minor": ("minor", "轻微"),
    "major": ("major", "严重"),
    "critical": ("critical", "紧急"),
    "info": ("information", "提示"),
}


@dataclass(frozen=True, slots=True)
class Carried:
    """An alert that another one's ticket names; ``key`` is the key its own ticket would have had."""

    key: str
    asset_id: str
    failure_mode: str
    title: Text
    severity: Severity
    act_by: datetime


def _say(name: str, language: Language) -> str:
    return _WORDS[name][0 if language == "en" else 1]


def whose(first: str, carried: Sequence[Carried], language: Language) -> str:
    """Return whose ticket it is, for its title: an asset, or it and how many more (in Chinese: of how many)."""
    others = {one.asset_id for one in carried} - {first}
    if not others:
        return first
    return _say("title", language).format(first=first, n=len(others) + (language != "en"))


def carried_lines(first: str, carried: Sequence[Carried], zone: ZoneInfo, language: Language) -> list[str]:
    """Return a line for each alert, the most urgent first; nothing where there is none."""
    if not carried:
        return []
    assets = {first, *(one.asset_id for one in carried)}
    return [
        "",
        _say("heading", language).format(n=len(carried), assets=len(assets)),
        *(
            f"  {one.asset_id}: {one.title.in_language(language)} ({_say(one.severity, language)}), "
            f"{_say('act_by', language)} {one.act_by.astimezone(zone):%Y-%m-%d %H:%M}"
            for one in sorted(carried, key=lambda one: (one.act_by, one.asset_id, one.failure_mode))
        ),
    ]


def carried_data(carried: Sequence[Carried]) -> list[dict[str, Any]]:
    """Return the same for machines."""
    return [
        {
            "key": one.key,
            "asset_id": one.asset_id,
            "failure_mode": one.failure_mode,
            "severity": one.severity,
            "act_by": one.act_by.astimezone(UTC).isoformat(),
        }
        for one in carried
    ]
