"""When a version of a rule or model has been wrong too often. Pure."""

from __future__ import annotations

import math
from statistics import NormalDist

from config.settings import Outcomes


def wilson(right: int, judged: int, confidence: float) -> tuple[float, float]:
    """Return the bounds, each with one-sided confidence, of the share that ``right`` of ``judged`` stands for.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927): it stays within 0 to 1 and holds for small numbers. With
    nothing judged it is 0 to 1.
    """
    if judged == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(confidence)
    share, spread = right / judged, z * z / judged
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / judged + spread / judged / 4)
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def below_bar(confirmed: int, judged: int, settings: Outcomes) -> bool:
    """Whether so few confirmed of so many judged are, with the confidence asked for, below the precision asked for."""
    if judged < settings.min_judged:
        return False
    return wilson(confirmed, judged, settings.confidence)[1] < settings.min_precision
