"""When a failure is expected, as the reader says it: days at the site, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from config.register import Language

_WORDS: Mapping[str, tuple[str, str]] = {
    "between": (
        "between {first} and {last}, most likely on {likely} (90 % of such failures)",
        "{first} 至 {last}，最可能在 {likely}（此类故障的 90 %）",
    ),
    "one_day": ("on {first} (90 % of such failures)", "{first}（此类故障的 90 %）"),
}


def expected_time(diagnosis: Mapping[str, Any], zone: ZoneInfo, language: Language) -> str:
    """Return when the failure of a diagnosis, as ``alerts.lifecycle.plain`` gives it, is expected; empty if unknown."""
    told = diagnosis.get("expected")
    if told is None:
        return ""
    first, likely = (_day(told[name], zone) for name in ("from", "at"))
    last = max(first, _day(told["by"], zone, before=timedelta(seconds=1)))  # midnight ends the day before
    words = _WORDS["one_day" if first == last else "between"][0 if language == "en" else 1]
    return words.format(first=first, last=last, likely=likely)


def _day(at: str, zone: ZoneInfo, before: timedelta = timedelta(0)) -> str:
    return f"{(datetime.fromisoformat(at) - before).astimezone(zone):%Y-%m-%d}"
