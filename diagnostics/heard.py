"""What each rule says of a day, for whoever judges rules one by one: diagnoses tell only who speaks for a mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from diagnostics.rule import Rule
from models.grid import Floats


@dataclass(frozen=True, slots=True)
class Heard:
    """One operating day of a site's assets of one type.

    ``answers`` (rules, assets): 1 where a rule holds, 0 where not, NaN where that is not known. ``settling`` gives how
    many days ago an asset was repaired or failed.
    """

    asset_type: str
    day: date
    asset_ids: Sequence[str]
    rules: Sequence[Rule]
    answers: Floats
    settling: Mapping[str, int]
