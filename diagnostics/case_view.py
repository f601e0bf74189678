"""What the case base says of a day: probabilities for each asset, and diagnoses of the modes that only it knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from config.knowledge import ANOMALY, Knowledge
from config.register import Text
from config.settings import Models
from diagnostics.diagnose import HOUR, instant
from diagnostics.records import Diagnosis, Evidence
from models.casebase import CASEBASE, CaseBase, Prior
from models.cases import CaseRecord
from models.panel import panel_index
from models.patterns import Pattern
from models.symptoms import strongest, symptom_names


@dataclass(frozen=True, slots=True)
class CaseView:
    """What the case base says of one asset on one day; ``shown`` are the symptoms of the window."""

    probabilities: Mapping[str, float]
    shown: tuple[str, ...]
    numbers: Mapping[str, int]
    """How many cases of each mode were counted."""
    records: Mapping[str, tuple[CaseRecord, ...]]
    diagnoses: tuple[Diagnosis, ...] = ()

    def cases_of(self, mode: str) -> int:
        """Return how many cases of a mode were counted."""
        return self.numbers.get(mode, 0)


def priors(knowledge: Knowledge, columns: Collection[str]) -> dict[str, Prior]:
    """Return what the knowledge base expects of the modes whose symptoms a panel with these columns can show."""
    possible = set(symptom_names(columns))
    found = {}
    for mode in knowledge.failure_modes.values():
        expected = {s.seen: (s.before, s.otherwise) for s in mode.symptoms if s.seen in possible}
        if mode.mtbf_days is not None and expected:
            found[mode.code] = Prior(mode.mtbf_days, expected)
    return found


def case_views(
    base: CaseBase,
    version: str,
    cases: pd.DataFrame,
    derived: pd.DataFrame,
    asset_ids: list[str],
    day: date,
    known_at: int,
    settling: Mapping[str, int],
    decided: Collection[str],
    settings: Models,
    knowledge: Knowledge,
) -> dict[str, CaseView]:
    """Return the view of each asset. ``cases`` are ``CaseBase.inputs`` of ``derived``, which holds the window's days.

    Modes in ``decided`` are ranked, but diagnosed by somebody else. On the day of a repair or failure nothing is said.
    """
    expected = priors(knowledge, list(derived.columns))
    today = panel_index(asset_ids, [np.datetime64(day, "D")] * len(asset_ids))
    inputs = cases.reindex(today, fill_value=False)
    ranked = base.rank(inputs, expected)
    thresholds = {mode: bar for mode, bar in base.thresholds().items() if mode not in decided}
    rows, known_rows = ranked.to_numpy(dtype=np.float64), inputs["known"].to_numpy(dtype=bool)
    views = {}
    for number, (asset_id, shown) in enumerate(zip(asset_ids, base.shown(inputs), strict=True)):
        known = bool(known_rows[number]) and settling.get(asset_id, 1) >= 1
        said = dict(zip(ranked.columns, rows[number].tolist(), strict=True)) if known else {}
        diagnoses = []
        for mode, bar in thresholds.items():
            holds = known and said[mode] > bar
            why = base.explain(inputs.iloc[[number]], mode, expected)[0] if holds else ()
            diagnoses.append(
                Diagnosis(
                    asset_id=asset_id,
                    day=day,
                    failure_mode=mode,
                    source=f"model:{CASEBASE}@{version}",
                    condition=holds if known else None,
                    severity=settings.severity,
                    act_within_hours=settings.act_within / HOUR,
                    known_at=instant(known_at),
                    text=_text(mode, knowledge, said.get(mode, 0.0), base, why) if holds else _QUIET,
                    ticket=settings.ticket,
                    iso14224=_iso14224(mode, knowledge),
                    probability=said.get(mode),
                    suppresses=(ANOMALY.code,),
                    evidence=_evidence(derived, asset_id, day, why),
                )
            )
        views[asset_id] = CaseView(said, shown if known else (), base.failures, base.cases, tuple(diagnoses))
    return views


_QUIET = Text(en="No earlier case began like this day.", zh="当日情况与以往案例不相似。")


def _iso14224(mode: str, knowledge: Knowledge) -> str:
    known = knowledge.failure_modes.get(mode)
    return known.iso14224 if known is not None else "UNK"


def _text(mode: str, knowledge: Knowledge, probability: float, base: CaseBase, why: tuple[Pattern, ...]) -> Text:
    known = knowledge.failure_modes.get(mode)
    title = known.title if known is not None else Text(en=mode, zh=mode)
    cases, days = base.cases_of(mode), base.horizon_days
    seen = "; ".join(" + ".join(pattern.symptoms) for pattern in why[:3]) or "-"
    return Text(
        en=f"{title.en} within {days} days with a probability of {probability:.0%}: {cases} earlier cases began like "
        f"this ({seen}).",
        zh=f"{days} 天内发生“{title.zh}”的概率为 {probability:.0%}：{cases} 个以往案例的起始情况与此相似（{seen}）。",
    )


def _evidence(derived: pd.DataFrame, asset_id: str, day: date, why: tuple[Pattern, ...]) -> tuple[Evidence, ...]:
    """Return, for each symptom that speaks, the number of the window that shows it most, beside none."""
    names = dict.fromkeys(name for pattern in why for name in pattern.symptoms)
    if not names:
        return ()
    of_asset = derived.loc[[asset_id]]
    window = of_asset[of_asset.index.get_level_values(1) <= np.datetime64(day, "D")]
    return tuple(Evidence(*found, 0.0) for name in names if (found := strongest(window, name)) is not None)
