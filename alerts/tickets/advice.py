"""What a ticket and the alert page say of a diagnosis: what is probable, what mends it, what is in stock. Pure.

From the plain values of a diagnosis (``alerts.lifecycle.plain``) and the knowledge base to words in one language. A
diagnosis may be older than the knowledge base, or than this part of it: what is not there is left out, or called by its
code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from config.knowledge import Drawing, FailureMode, Knowledge, Part, Procedure
from config.register import Asset, Language, Text
from config.stock import Stock

_WORDS: Mapping[str, tuple[str, str]] = {
    "case": ("case", "个案例"),
    "cases": ("cases", "个案例"),
    "no_case": ("no case yet", "尚无案例"),
    "rule": ("rule", "规则"),
    "failure": ("failure model", "故障模型"),
    "casebase": ("case base", "案例库"),
    "in_stock": ("in stock", "库存"),
    "counted": ("counted", "盘点日期"),
    "old": ("count is old, ask the store", "盘点已久，请向库房核实"),
    "stock_unknown": ("stock not known", "库存未知"),
    "delivery": ("delivery {days} days", "交货期 {days} 天"),
    "check": ("check whether it holds here", "请核实是否适用于该设备"),
    "sheet": ("sheet", "页"),
}
_UNLIKELY = 0.005
"""What is less probable than this has no figure."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing in words: its ``share`` (0 to 1, ``None``: no figure), what that rests on, and its reference."""

    title: str
    share: float | None = None
    rests_on: str = ""
    reference: str = ""
    url: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """A procedure to follow."""

    heading: Line
    steps: tuple[str, ...]
    minutes: int


@dataclass(frozen=True, slots=True)
class Advice:
    """All of it, each list the most probable first."""

    probability: float | None
    rests_on: str
    modes: tuple[Line, ...]
    causes: tuple[Line, ...]
    repairs: tuple[Line, ...]
    parts: tuple[Line, ...]
    procedures: tuple[Steps, ...]
    drawings: tuple[Line, ...]


def advice(
    diagnosis: Mapping[str, Any],
    mode: FailureMode,
    asset: Asset,
    knowledge: Knowledge,
    today: date,
    language: Language,
) -> Advice:
    """Return what is said of a diagnosis for one asset; ``today`` is the day against which stock is old."""
    words = _Words(language)
    ranking = diagnosis.get("ranking") or []
    own = next((one for one in ranking if one["failure_mode"] == mode.code), None)
    repairs = diagnosis.get("repairs") or []
    listed = _references(diagnosis["advise"], repairs, mode, asset, knowledge)
    parts = [(item, holds) for item, holds in listed if isinstance(item, Part)]
    return Advice(
        probability=diagnosis.get("probability"),
        rests_on=words.cases(own["cases"]) if own is not None else "",
        modes=tuple(words.mode(one, knowledge) for one in ranking),
        causes=_candidates(diagnosis.get("causes") or [], {c.code: c.title for c in mode.causes}, words),
        repairs=_candidates(
            repairs,
            {r.code: r.title for r in mode.repairs},
            words,
            {r.code: r.procedure for r in mode.repairs if r.procedure is not None},
        ),
        parts=_parts(diagnosis.get("parts") or [], [item for item, _ in parts], asset, knowledge, today, words),
        procedures=tuple(
            Steps(words.document(item, holds), tuple(words.said(step) for step in item.steps), item.minutes)
            for item, holds in listed
            if isinstance(item, Procedure)
        ),
        drawings=tuple(words.document(item, holds) for item, holds in listed if isinstance(item, Drawing)),
    )


def percent(share: float | None) -> str:
    """Return a probability as people read it: never 0 % or 100 %, since nothing here is certain."""
    if share is None:
        return ""
    return f"{min(max(round(100 * share), 1), 99)} %"


class _Words:
    """Says things in one language."""

    def __init__(self, language: Language) -> None:
        self._which = 0 if language == "en" else 1
        self._language = language

    def __getitem__(self, name: str) -> str:
        return _WORDS[name][self._which]

    def said(self, text: Text) -> str:
        return text.in_language(self._language)

    def cases(self, number: int) -> str:
        return f"{number} {self['case' if number == 1 else 'cases']}" if number else self["no_case"]

    def mode(self, one: Mapping[str, Any], knowledge: Knowledge) -> Line:
        known = knowledge.failure_modes.get(one["failure_mode"])
        voices = (self[voice] for voice in one["voices"] if voice in _WORDS)
        return Line(
            title=self.said(known.title) if known is not None else one["failure_mode"],
            share=one["probability"],
            rests_on=self.cases(one["cases"]),
            reference=one["failure_mode"],
            note=", ".join(voices),
        )

    def document(self, item: Procedure | Drawing, holds: bool | None) -> Line:
        sheet = f"{self['sheet']} {item.sheet}" if isinstance(item, Drawing) and item.sheet else ""
        note = "; ".join(part for part in (sheet, self["check"] if holds is None else "") if part)
        return Line(self.said(item.title), reference=item.id, url=item.url, note=note)

    def stock(self, part: Part, stock: Stock | None, today: date) -> str:
        if stock is None:
            words = self["stock_unknown"]
        else:
            words = f"{self['in_stock']}: {stock.quantity}"
            if stock.bin:
                words += f" ({stock.bin})"
            words += f", {self['counted']} {stock.counted}"
            if stock.old(today):
                words += f" – {self['old']}"
        if part.lead_days and (stock is None or not stock.quantity):
            words += f"; {self['delivery'].format(days=part.lead_days)}"
        return words


def _candidates(
    found: Sequence[Mapping[str, Any]],
    titles: Mapping[str, Text],
    words: _Words,
    references: Mapping[str, str] | None = None,
) -> tuple[Line, ...]:
    return tuple(
        Line(
            title=words.said(titles[one["code"]]) if one["code"] in titles else one["code"],
            share=_figure(one["probability"]),
            rests_on=words.cases(one["cases"]) if one["cases"] else "",
            reference=(references or {}).get(one["code"], ""),
        )
        for one in found
    )


def _parts(
    found: Sequence[Mapping[str, Any]],
    advised: Sequence[Part],
    asset: Asset,
    knowledge: Knowledge,
    today: date,
    words: _Words,
) -> tuple[Line, ...]:
    """Return the parts, the most probable first; those that only the knowledge base or a rule names come after."""
    by_code = {one["code"]: one for one in found}
    here = knowledge.stock.get(asset.site, {})
    known = {part.id: part for part in advised} | {
        code: knowledge.parts[code] for code in by_code if code in knowledge.parts
    }
    order = [*by_code, *(code for code in known if code not in by_code)]
    lines = []
    for code in order:
        one = by_code.get(code)
        part = known.get(code)
        lines.append(
            Line(
                title=words.said(part.title) if part is not None else code,
                share=_figure(one["probability"]) if one is not None else None,
                rests_on=words.cases(one["cases"]) if one is not None and one["cases"] else "",
                reference=code if part is not None else "",
                note=words.stock(part, here.get(code), today) if part is not None else "",
            )
        )
    return tuple(lines)


def _references(
    first: Sequence[str],
    repairs: Sequence[Mapping[str, Any]],
    mode: FailureMode,
    asset: Asset,
    knowledge: Knowledge,
) -> list[tuple[Procedure | Drawing | Part, bool | None]]:
    """Return what helps, each once, and whether it holds for the asset; what does not hold is left out.

    The diagnosis' own references come first, then the procedures of the repairs, then the failure mode's.
    """
    procedure = {repair.code: repair.procedure for repair in mode.repairs}
    by_repair = [f"procedure:{procedure[one['code']]}" for one in repairs if procedure.get(one["code"])]
    found: list[tuple[Procedure | Drawing | Part, bool | None]] = []
    for reference in dict.fromkeys([*first, *by_repair, *mode.advise]):
        with suppress(KeyError):
            item = knowledge.resolve(reference)
            holds = True if isinstance(item, Part) else item.valid.holds(asset)
            if holds is not False:
                found.append((item, holds))
    return found


def _figure(share: float | None) -> float | None:
    return share if share is not None and share >= _UNLIKELY else None
