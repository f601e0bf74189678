"""From rules and anomaly levels to diagnoses: for each failure mode of each asset, who says what on this day."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.knowledge import ANOMALY, Knowledge
from config.operating_day import NS
from config.register import SEVERITIES, AssetType
from config.settings import Models
from diagnostics.deviations import anomaly_text
from diagnostics.expression import Frame
from diagnostics.records import AnomalyScore, Diagnosis, Evidence, Expected
from diagnostics.rule import RuleResult
from models.panel import panel_index

HOUR = timedelta(hours=1)
HOURS_A_DAY = 24
LEAST_HOURS = 6.0


class AnomalyVerdict(NamedTuple):
    """What the model says of one asset-day: its scores, and whether it is anomalous persistently (``None``: unknown).

    The ensemble's score comes first; where the day has none, there is no score at all.
    """

    scores: tuple[AnomalyScore, ...]
    condition: bool | None
    health: float = math.nan
    beside: Mapping[str, float] = MappingProxyType({})
    """Where it is anomalous: the day's deviations by column, to set those that speak beside their counterparts."""


def rule_diagnoses(
    results: Sequence[RuleResult],
    past: pd.DataFrame,
    asset_ids: Sequence[str],
    day: date,
    known_at: int,
    settling: Mapping[str, int],
    knowledge: Knowledge,
) -> list[Diagnosis]:
    """Return one diagnosis for each asset and each failure mode that a rule speaks of.

    Of several rules for one failure mode that hold, the most severe speaks (of those the one that opens a ticket, then
    the most urgent), and what any of them suppresses is suppressed; one that holds beats one that is unknown, and that
    beats one that does not hold. ``past`` is the base panel of the last weeks, for what is normal.
    ``settling`` gives how many days ago an asset was repaired: a rule that still looks at days from before says
    nothing.
    """
    by_mode: defaultdict[str, list[int]] = defaultdict(list)
    for number, result in enumerate(results):
        by_mode[result.rule.written.failure_mode].append(number)
    answers = answers_of(results, asset_ids, day, settling)
    firing = {asset_id for asset_id, fires in zip(asset_ids, (answers == 1).any(axis=0), strict=True) if fires}
    before = Frame(past[past.index.get_level_values(0).isin(firing)])
    found = []
    for mode, numbers in by_mode.items():
        candidates, of_mode = [results[number] for number in numbers], answers[numbers]
        for asset_id, said in zip(asset_ids, of_mode.T.tolist(), strict=True):
            holding = [r for r, answer in zip(candidates, said, strict=True) if answer == 1]
            if holding:
                speaker = max(holding, key=_weight)
                condition: bool | None = True
            else:
                unknown = [r for r, answer in zip(candidates, said, strict=True) if answer != 0]
                speaker = (unknown or candidates)[0]
                condition = None if unknown else False
            suppresses = dict.fromkeys(m for r in holding or [speaker] for m in r.rule.suppresses)
            found.append(
                _said_by_rule(speaker, tuple(suppresses), before, asset_id, day, mode, condition, known_at, knowledge)
            )
    return found


def _weight(result: RuleResult) -> tuple[int, bool, timedelta]:
    written = result.rule.written
    return SEVERITIES.index(written.severity), result.rule.ticket == "auto", -written.act_within


def answers_of(
    results: Sequence[RuleResult], asset_ids: Sequence[str], day: date, settling: Mapping[str, int]
) -> NDArray[np.float64]:
    """Return (rules, assets): 1 where a rule holds on the day, 0 where not, NaN where that is not known."""
    row = panel_index(asset_ids, [np.datetime64(day, "D")] * len(asset_ids))
    settled = np.array([settling.get(asset_id, np.inf) for asset_id in asset_ids], dtype=np.float64)
    answers = np.full((len(results), len(asset_ids)), np.nan)
    places: dict[int, NDArray[np.intp]] = {}
    for number, result in enumerate(results):
        index = result.condition.index
        if id(index) not in places:
            places[id(index)] = index.get_indexer(row)
        at = places[id(index)]
        said = result.condition.to_numpy(dtype=np.float64, na_value=np.nan)
        answers[number] = np.where((at >= 0) & (settled >= result.rule.days), said[at], np.nan)
    return answers


def _said_by_rule(
    result: RuleResult,
    suppresses: tuple[str, ...],
    past: Frame,
    asset_id: str,
    day: date,
    mode: str,
    condition: bool | None,
    known_at: int,
    knowledge: Knowledge,
) -> Diagnosis:
    written = result.rule.written
    evidence = result.evidence((asset_id, pd.Timestamp(day)), past) if condition else ()
    return Diagnosis(
        asset_id=asset_id,
        day=day,
        failure_mode=mode,
        source=f"rule:{written.rule}@{result.rule.version}",
        condition=condition,
        severity=written.severity,
        act_within_hours=written.act_within / HOUR,
        known_at=instant(known_at),
        text=result.text(evidence) if condition else written.text,
        ticket=result.rule.ticket,
        iso14224=knowledge.failure_modes[mode].iso14224,
        advise=written.advise,
        suppresses=(*suppresses, ANOMALY.code),
        evidence=evidence,
    )


def anomaly_diagnosis(
    asset_id: str,
    day: date,
    known_at: int,
    verdict: AnomalyVerdict,
    settings: Models,
    version: str,
    ticket: Literal["auto", "review"],
    asset_type: AssetType,
) -> Diagnosis:
    """Return what the anomaly model alone says: that something is unlike before, and which numbers."""
    parts = verdict.scores[0].contributions if verdict.scores and verdict.condition else ()
    return Diagnosis(
        asset_id=asset_id,
        day=day,
        failure_mode=ANOMALY.code,
        source=f"model:ensemble@{version}",
        condition=verdict.condition,
        severity=settings.severity,
        act_within_hours=settings.act_within / HOUR,
        known_at=instant(known_at),
        text=anomaly_text([(part.feature, part.value) for part in parts], verdict.beside, asset_type),
        ticket=ticket,
        iso14224=ANOMALY.iso14224,
        evidence=tuple(Evidence(part.feature, part.value, 0.0) for part in parts),
    )


def merged(diagnoses: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Return one diagnosis for each asset and failure mode of those that rules and models give, in their order.

    One that holds beats one that is unknown, and that beats one that does not hold; of several that hold, the most
    severe speaks, and what any of them suppresses is suppressed. It bears the probability and the time at which the
    failure is expected, if any of them has one; its deadline is never later than that time.
    """
    by_mode: defaultdict[tuple[str, str], list[Diagnosis]] = defaultdict(list)
    for diagnosis in diagnoses:
        by_mode[diagnosis.asset_id, diagnosis.failure_mode].append(diagnosis)
    return [candidates[0] if len(candidates) == 1 else _speaker(candidates) for candidates in by_mode.values()]


def _speaker(candidates: Sequence[Diagnosis]) -> Diagnosis:
    holding = [d for d in candidates if d.condition] or [d for d in candidates if d.condition is None] or candidates
    speaker = max(holding, key=lambda d: (SEVERITIES.index(d.severity), d.ticket == "auto", -d.act_within_hours))
    suppresses = dict.fromkeys(mode for d in holding for mode in d.suppresses)
    known = [d.probability for d in candidates if d.probability is not None]
    probability = speaker.probability if speaker.probability is not None else max(known, default=None)
    expected = next((d.expected for d in holding if d.expected is not None), None)
    return replace(
        speaker,
        suppresses=tuple(suppresses),
        probability=probability,
        expected=expected,
        act_within_hours=within(speaker.act_within_hours, expected),
    )


def within(act_within_hours: float, expected: Expected | None) -> float:
    """Return the hours there are to act: those that are allowed, and no more than until the failure is expected.

    ``LEAST_HOURS`` where that is sooner: a day's data may arrive some hours after it, and nobody can act before.
    """
    if expected is None:
        return act_within_hours
    return min(act_within_hours, max(LEAST_HOURS, HOURS_A_DAY * expected.days))


def instant(at: int) -> datetime:
    """Return an instant in ns as an aware ``datetime``, to the second."""
    return datetime.fromtimestamp(at // NS, UTC)
