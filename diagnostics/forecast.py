"""What the failure model says of a day: risks as scores, and a diagnosis for each failure mode that it has learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
import pandas as pd

from config.knowledge import ANOMALY, Knowledge
from config.register import Text
from config.settings import Models
from diagnostics.diagnose import HOUR, instant, within
from diagnostics.records import AnomalyScore, Contribution, Diagnosis, Evidence, Expected
from models.failure import FAILURE, FailureModel, Reason
from models.health import health
from models.remaining_days import Remaining

_DETECTOR_LENGTH = 48  # of the ledger's column


class Forecast(NamedTuple):
    """One asset's risks, as scores, and what is diagnosed from them."""

    scores: tuple[AnomalyScore, ...]
    diagnoses: tuple[Diagnosis, ...]
    health: Mapping[str, float]
    """Of each failure mode whose risk is known, 0 to 100."""


def forecasts(
    model: FailureModel,
    version: str,
    inputs: pd.DataFrame,
    day: date,
    known_at: int,
    settling: Mapping[str, int],
    settings: Models,
    knowledge: Knowledge,
    *,
    explained: bool = True,
    heeded: Collection[tuple[str, str]] | None = None,
) -> dict[str, Forecast]:
    """Return the forecast of each asset of ``inputs``, the model's rows of ``day``.

    On the day of a repair or failure nothing is said: the day's numbers are of before and after. The first score is
    of any failure; a mode's own is beside it where it is above its threshold. Reasons are given where ``explained``.
    A risk that does not hold is diagnosed of the ``heeded`` assets and failure modes (``None``: of all).
    """
    asset_ids = [str(asset_id) for asset_id in inputs.index.get_level_values(0)]
    risks = model.risks(inputs)
    thresholds = model.thresholds()
    writer = _Writer(version, day, instant(known_at), model.horizon_days, settings, knowledge)
    settled = np.array([settling.get(asset_id, 1) >= 1 for asset_id in asset_ids])
    scores: defaultdict[str, list[AnomalyScore]] = defaultdict(list)
    diagnoses: defaultdict[str, list[Diagnosis]] = defaultdict(list)
    healths: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for asset_id, risk in zip(asset_ids, risks[FAILURE], strict=True):
        if np.isfinite(risk):
            scores[asset_id].append(writer.score(asset_id, FAILURE, risk, min(thresholds.values()), ()))
    for mode, threshold in thresholds.items():
        values = risks[mode].to_numpy()
        holds = settled & (values > threshold)
        reasons = iter(model.explain(inputs[holds], mode) if explained else [()] * int(holds.sum()))
        remaining = iter(model.remaining(inputs[holds], mode))
        for asset_id, value in zip(asset_ids, health(np.where(settled, values, np.nan), threshold), strict=True):
            healths[asset_id][mode] = float(value)
        for asset_id, risk, held, known in zip(asset_ids, values, holds, settled & np.isfinite(values), strict=True):
            why = next(reasons) if held else ()
            left = next(remaining) if held else None
            if held:
                scores[asset_id].append(writer.score(asset_id, f"{FAILURE}.{mode}", risk, threshold, why))
            if not (held or heeded is None or (asset_id, mode) in heeded):
                continue
            condition = bool(held) if known else None
            diagnoses[asset_id].append(writer.diagnosis(asset_id, mode, condition, risk, why, left))
    return {
        asset_id: Forecast(tuple(scores[asset_id]), tuple(diagnoses[asset_id]), healths[asset_id])
        for asset_id in asset_ids
    }


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes what is said of one day by one version of the model."""

    version: str
    day: date
    known_at: datetime
    horizon_days: int
    settings: Models
    knowledge: Knowledge

    def score(self, asset_id: str, detector: str, risk: float, threshold: float, why: Sequence[Reason]) -> AnomalyScore:
        return AnomalyScore(
            asset_id=asset_id,
            day=self.day,
            detector=detector[:_DETECTOR_LENGTH],
            version=self.version,
            score=float(risk),
            threshold=float(threshold),
            level=float(risk),
            contributions=tuple(Contribution(reason.feature, reason.value, reason.share) for reason in why),
        )

    def diagnosis(
        self,
        asset_id: str,
        mode: str,
        condition: bool | None,
        risk: float,
        why: Sequence[Reason],
        left: Remaining | None,
    ) -> Diagnosis:
        known = self.knowledge.failure_modes.get(mode)
        expected = Expected(*left) if left is not None and self._says_something(left) else None
        return Diagnosis(
            asset_id=asset_id,
            day=self.day,
            failure_mode=mode,
            source=f"model:{FAILURE}@{self.version}",
            condition=condition,
            severity=self.settings.severity,
            act_within_hours=within(self.settings.act_within / HOUR, expected),
            known_at=self.known_at,
            text=self._text(known.title if known is not None else Text(en=mode, zh=mode), risk, why),
            ticket=self.settings.ticket,
            iso14224=known.iso14224 if known is not None else "UNK",
            probability=float(risk) if np.isfinite(risk) else None,
            expected=expected,
            suppresses=(ANOMALY.code,),
            evidence=tuple(Evidence(reason.feature, reason.value, reason.usual) for reason in why),
        )

    def _says_something(self, left: Remaining) -> bool:
        """Whether it says more than that the failure comes within the horizon."""
        return left.low >= 1 or left.high <= self.horizon_days - 1

    def _text(self, title: Text, risk: float, why: Sequence[Reason]) -> Text:
        seen = "; ".join(f"{reason.feature} {reason.value:.4g} ({reason.usual:.4g})" for reason in why[:3])
        if not seen:
            return Text(en="No failure is foreseen.", zh="未预见故障。")
        return Text(
            en=f"{title.en} within {self.horizon_days} days with a probability of {risk:.0%}, as before earlier "
            f"failures (usual values in brackets): {seen}.",
            zh=f"{self.horizon_days} 天内发生“{title.zh}”的概率为 {risk:.0%}，"
            f"与以往故障前相似（括号内为通常值）：{seen}。",
        )
